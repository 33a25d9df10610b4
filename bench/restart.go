package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

// RestartResult is a process with a full dedupe window, killed and started again.
type RestartResult struct {
	IDs      int64
	Resident int64         // bytes, of the process at rest with the window full
	Peak     int64         // bytes, while it worked the events off as they came
	Ready    time.Duration // from exec after kill -9 to /readyz 200
	After    int64         // bytes resident then
}

func (r RestartResult) String() string {
	return fmt.Sprintf("ready %s after kill -9 with %d ids in the window; resident %d MiB at rest, %d MiB at the peak, %d MiB after the start",
		r.Ready.Round(10*time.Millisecond), r.IDs, r.Resident>>20, r.Peak>>20, r.After>>20)
}

// Restart runs the binary as a process of its own, sends it ids events, kills
// it with -9 and measures the start on what it left.
func Restart(ctx context.Context, binary, dir string, ids int64) (RestartResult, error) {
	res := RestartResult{IDs: ids}
	p, err := startProcess(ctx, binary, dir, "--no-auth")
	if err != nil {
		return res, err
	}
	defer p.kill()
	if err := p.fill(ctx, ids); err != nil {
		return res, err
	}
	res.Peak = p.memory("VmHWM:")
	time.Sleep(2 * time.Second) // garbage of the load goes
	res.Resident = p.memory("VmRSS:")
	p.kill()
	began := time.Now()
	if p, err = startProcess(ctx, binary, dir, "--no-auth"); err != nil {
		return res, err
	}
	defer p.kill()
	res.Ready = time.Since(began)
	res.After = p.memory("VmRSS:")
	return res, nil
}

type process struct {
	cmd        *exec.Cmd
	dir        string
	http, kfka string
}

func startProcess(ctx context.Context, binary, dir string, flags ...string) (*process, error) {
	p := &process{dir: dir, http: freeAddr(), kfka: freeAddr()}
	p.cmd = exec.CommandContext(ctx, binary, append([]string{"run", "--data", dir, "--http", p.http, "--kafka-listen", p.kfka, "--log-level", "warn"}, flags...)...)
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		res, err := http.Get("http://" + p.http + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return p, nil
			}
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			p.kill()
			return nil, fmt.Errorf("%s run was not ready within 2 minutes", binary)
		}
	}
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err) // loopback always has a port
	}
	defer l.Close()
	return l.Addr().String()
}

func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may be dead already
	_ = p.cmd.Wait()
}

// fill sends n events and waits until they are counted.
func (p *process) fill(ctx context.Context, n int64) error {
	k := broker.NewKafka(p.kfka)
	defer k.Close()
	w := k.Writer("")
	defer w.Close()
	load := producer.GenerateConfig{Seed: 5, Events: n, BatchRecords: 20_000, Now: time.Now}
	_, err := producer.Generate(ctx, load, func(records []kafka.Message) error { return producer.Send(ctx, w, records) })
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, filepath.Join(p.dir, "tallybook.db"), store.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer st.Close()
	for {
		var next int64
		err := st.View(ctx, func(v *store.View) error {
			positions, err := v.Positions(schemas.Usage)
			for _, pos := range positions {
				next += pos.Next
			}
			return err
		})
		if err != nil || next >= n {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// cpu is what the process has used so far, to 10 ms.
func (p *process) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the program's name may have blanks
	var ticks int64
	for _, field := range strings.Fields(rest)[11:13] { // of the program and of the kernel for it
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
}

// memory is a line of the process's status in bytes, 0 where there is none.
func (p *process) memory(line string) int64 {
	return statusBytes(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), line)
}

func statusBytes(path, line string) int64 {
	status, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(l, line); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
