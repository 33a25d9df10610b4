package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tallybook/archive"
	"tallybook/pipeline/broker"
	"tallybook/store"
)

// doctor looks at a set-up as it is and says in words what it sees. It changes
// nothing, and works beside a running process and on a stopped data folder.
type doctor struct {
	*config
	out   io.Writer
	now   time.Time
	wrong int

	holder  string         // process that has the data folder; empty: none
	archive archive.Bucket // nil: there is none, or it is not usable
	store   *store.Store   // nil: there is none, or it does not open
}

var errUnwell = errors.New("the doctor found something wrong")

func runDoctor(ctx context.Context, c *config) error {
	d := &doctor{config: c, out: os.Stdout, now: time.Now()}
	return d.examine(ctx)
}

func (d *doctor) examine(ctx context.Context) error {
	d.dataFolder()
	d.examineArchive(ctx)
	d.logSize()
	d.openStore(ctx)
	if d.store != nil {
		defer d.store.Close()
	}
	d.quarantine(ctx)
	d.mailProviders()
	d.httpPort(ctx)
	d.kafka(ctx)
	d.storeContents(ctx)
	if d.wrong > 0 {
		return fmt.Errorf("%w, see %d line(s) above", errUnwell, d.wrong)
	}
	fmt.Fprintln(d.out, "doctor: nothing is wrong")
	return nil
}

// good, note and bad are the three kinds of lines; only bad ones change the exit code.
func (d *doctor) good(format string, args ...any) { d.line("good ", format, args) }
func (d *doctor) note(format string, args ...any) { d.line("note ", format, args) }
func (d *doctor) bad(format string, args ...any)  { d.wrong++; d.line("WRONG", format, args) }

func (d *doctor) line(kind, format string, args []any) {
	fmt.Fprintf(d.out, "%s  %s\n", kind, fmt.Sprintf(format, args...))
}

func (d *doctor) dataFolder() {
	if _, err := os.Stat(d.Data); errors.Is(err, fs.ErrNotExist) {
		if err := writable(existingParent(d.Data)); err != nil {
			d.bad("data folder %s does not exist and cannot be made: %v; name another with --data", d.Data, err)
			return
		}
		d.note("data folder %s does not exist yet; the first 'tallybook run' makes it", d.Data)
	} else if err := writable(d.Data); err != nil {
		d.bad("data folder %s is not writable: %v; nothing can be counted", d.Data, err)
		return
	} else {
		d.good("data folder %s is writable", d.Data)
		d.lock()
	}
	d.freeSpace()
}

// existingParent is the nearest folder above path that exists.
func existingParent(path string) string {
	path = filepath.Clean(path)
	for {
		parent := filepath.Dir(path)
		if _, err := os.Stat(parent); err == nil || parent == path {
			return parent
		}
		path = parent
	}
}

// writable makes a file, since permissions alone do not tell: a file system may
// be mounted read-only.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".doctor-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// lock finds out who has the data folder. It holds the lock itself for an instant.
func (d *doctor) lock() {
	if d.holder, _ = lockHolder(d.Data); d.holder != "" {
		d.good("process %s runs on the data folder", d.holder)
		return
	}
	d.note("no process runs on the data folder")
}

const leastFree = 1 << 30 // below it a burst fills the disk before anybody looks

func (d *doctor) freeSpace() {
	dir := d.Data
	if _, err := os.Stat(dir); err != nil {
		dir = existingParent(dir)
	}
	left, err := broker.Free(dir)
	switch {
	case err != nil:
		d.bad("%v", err)
	case left < leastFree:
		d.bad("%s has only %s free: the log, the archive and the store need room, or events are refused", dir, size(left))
	case len(d.Brokers) == 0 && left < d.LogMaxBytes:
		d.note("%s has %s free, less than the log may take (--log-max-bytes %d, %s)", dir, size(left), d.LogMaxBytes, size(d.LogMaxBytes))
	default:
		d.good("%s of disk are free", size(left))
	}
}

func size(bytes int64) string {
	if bytes < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// logSize holds the embedded broker's segments against their limit.
func (d *doctor) logSize() {
	if len(d.Brokers) > 0 {
		return
	}
	segments, err := filepath.Glob(filepath.Join(d.Data, "kafka", "partitions", "*", "*.dat"))
	if err != nil || len(segments) == 0 {
		return
	}
	var bytes int64
	for _, path := range segments {
		if info, err := os.Stat(path); err == nil { // trimmed meanwhile else
			bytes += info.Size()
		}
	}
	if percent := 100 * bytes / d.LogMaxBytes; percent >= 90 {
		d.bad("the log has %s, %d %% of --log-max-bytes (%s): workers are behind, and events are refused with 503 at the limit",
			size(bytes), percent, size(d.LogMaxBytes))
	} else {
		d.good("the log has %s of at most %s", size(bytes), size(d.LogMaxBytes))
	}
}

func (d *doctor) openStore(ctx context.Context) {
	if _, err := os.Stat(d.storeURL()); d.Store == "" && errors.Is(err, fs.ErrNotExist) {
		d.note("no store yet at %s: nothing was counted here", d.storeURL())
		return
	}
	st, err := store.Open(ctx, d.storeURL(), store.Options{ReadOnly: true, Log: d.logger()})
	if err != nil {
		d.bad("the store does not open: %v", err)
		return
	}
	d.store = st
	d.good("store %s opens", st.Name())
	server, err := st.Server(ctx)
	if err != nil {
		d.bad("the store: %v", err)
	}
	if server.About != "" {
		d.good("store: %s; Tallybook's own transactions wait for the disk in any case", server.About)
	}
	for _, problem := range server.Problems {
		d.bad("store: %s", problem)
	}
}

// httpPort asks the process that holds the folder. One on an external Kafka
// holds none, so that whatever listens there is asked.
func (d *doctor) httpPort(ctx context.Context) {
	if d.holder == "" && (len(d.Brokers) == 0 || free(d.HTTP) == nil) {
		d.freePort(d.HTTP, "--http")
		return
	}
	client := http.Client{Timeout: 5 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.HTTP+"/readyz", nil)
	if err != nil {
		d.bad("--http %s: %v", d.HTTP, err)
		return
	}
	res, err := client.Do(req)
	if err != nil {
		d.bad("nothing answers at http://%s, though a process runs: %v; was it started with another --http?", d.HTTP, err)
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(res.Body, 4096))
	if res.StatusCode != http.StatusOK {
		d.bad("http://%s/readyz says %d: %s", d.HTTP, res.StatusCode, strings.TrimSpace(string(body)))
		return
	}
	d.good("http://%s is ready: this process owns partitions and reads all of them", d.HTTP)
}

// freePort: nobody runs here, so that the port must be free for us.
func (d *doctor) freePort(addr, flag string) {
	if err := free(addr); err != nil {
		d.bad("%s %s cannot be listened on: %v; choose another address with %s", flag, addr, err, flag)
		return
	}
	d.good("%s %s is free", flag, addr)
}

// free is nil where nobody listens at addr.
func free(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return l.Close()
}
