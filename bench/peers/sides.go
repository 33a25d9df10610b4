package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// streams runs Kafka Streams until it has added every call, repeats included, to
// all three of its windows and committed; then it counts what its stores have.
func (b *bench) streams(ctx context.Context, round int) (result, error) {
	java := func(what string) *exec.Cmd {
		jars := "bench/peers/streams/target"
		return exec.CommandContext(ctx, "java", "-Xmx2g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "-cp", jars+"/classes:"+jars+"/jars/*",
			"tallybook.peers.Streams", what, b.brokers, filepath.Join(b.dir, fmt.Sprint("streams-", round)), "1000", fmt.Sprint(b.sent.Counted+b.sent.Duplicates),
			fmt.Sprint("peer-", round))
	}
	r := result{name: "Kafka Streams"}
	run := java("run")
	run.Stderr = os.Stderr
	if err := b.measure(&r, func() (*os.ProcessState, error) {
		_, err := run.Output()
		return run.ProcessState, err
	}); err != nil {
		return r, fmt.Errorf("streams: %w", err)
	}
	out, err := java("check").Output()
	if err != nil {
		return r, fmt.Errorf("streams check: %w", err)
	}
	r.counted = strings.Join(strings.Fields(string(out)), " ")
	return r, nil
}

// ours runs the pipeline until it has told Kafka the end of each partition, which
// it does behind a checkpoint.
func (b *bench) ours(ctx context.Context, round int) (result, error) {
	data := filepath.Join(b.dir, fmt.Sprint("tallybook-", round))
	command := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(b.work, "tallybook"), append(args, "--data", data, "--brokers", b.brokers)...)
		cmd.Env = slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TALLYBOOK_") })
		return cmd
	}
	if _, err := b.kafka.Client().DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}}); err != nil {
		return result{}, err
	}
	r := result{name: "tallybook"}
	err := b.measure(&r, func() (*os.ProcessState, error) {
		cmd := command("pipeline", "--http", "127.0.0.1:0", "--log-level", "warn")
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		waited := b.awaitEnd(ctx)
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return nil, err
		}
		if err := cmd.Wait(); err != nil {
			return nil, err
		}
		return cmd.ProcessState, waited
	})
	if err != nil {
		return r, fmt.Errorf("pipeline: %w", err)
	}
	out, err := command("balance").CombinedOutput()
	if err != nil {
		return r, fmt.Errorf("balance: %w: %s", err, out)
	}
	r.counted = counted(string(out))
	return r, nil
}

const group = "tallybook" // the pipeline's consumer group

// awaitEnd waits until the group has committed the end of every partition.
func (b *bench) awaitEnd(ctx context.Context) error {
	ids := make([]int, partitions)
	asked := make([]kafka.OffsetRequest, partitions)
	for i := range ids {
		ids[i], asked[i] = i, kafka.LastOffsetOf(i)
	}
	ends, err := b.kafka.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{"usage": asked}})
	if err != nil {
		return err
	}
	for {
		at, err := b.kafka.Client().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{"usage": ids}})
		if err != nil {
			return err
		}
		there := 0
		for _, p := range at.Topics["usage"] {
			for _, end := range ends.Topics["usage"] {
				if end.Partition == p.Partition && p.CommittedOffset >= end.LastOffset {
					there++
				}
			}
		}
		if there == partitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// measure runs a side and takes its time, its CPU and the broker's.
func (b *bench) measure(r *result, side func() (*os.ProcessState, error)) error {
	before, err := b.server.CPU()
	if err != nil {
		return err
	}
	began := time.Now()
	state, err := side()
	if err != nil {
		return err
	}
	r.took = time.Since(began)
	after, err := b.server.CPU()
	if err != nil {
		return err
	}
	r.kafk, r.own = after-before, state.UserTime()+state.SystemTime()
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		r.peak = usage.Maxrss << 10 // Linux tells KiB
	}
	return nil
}

var countedPart = regexp.MustCompile(`(?m)^usage/\d+: .*; records \d+ = counted (\d+) \+ duplicate (\d+)`)

// counted adds up what balance prints of each partition.
func counted(balance string) string {
	var sums [2]int64
	for _, part := range countedPart.FindAllStringSubmatch(balance, -1) {
		for i := range sums {
			n, _ := strconv.ParseInt(part[i+1], 10, 64) // digits
			sums[i] += n
		}
	}
	return fmt.Sprintf("counted=%d repeats=%d", sums[0], sums[1])
}
