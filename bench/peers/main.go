// Peers measures the same job beside each other, on one Kafka and the same
// events, by turns:
//
//   - Kafka Streams, exactly once (transactions): count and sums of each series
//     by hour, day and month; windows in RocksDB, their changelogs in Kafka;
//     calls are sent to the partition of their series first. It commits every
//     second, as we do. No recognition of repeats, no validation, no archive, no SQL.
//   - tallybook pipeline: the same numbers in SQLite by hour (days and months are
//     built from hours by a job), and beside them recognition of repeats, the
//     Parquet archive, latency sketches and the ledger.
//
// Needs Java 17 and Maven. go run ./bench/peers, from the top of the checkout.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tallybook/bench/servers"
	"tallybook/pipeline/broker"
)

const partitions = 4

func main() {
	log.SetFlags(0)
	log.SetPrefix("peers: ")
	events := flag.Int64("events", 2_000_000, "events of each shape")
	shapes := flag.String("shapes", "dense,wide", "dense: one hour; wide: 30 days of independent dimensions")
	rounds := flag.Int("rounds", 2, "runs of each side, by turns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *events, strings.Split(*shapes, ","), *rounds); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, events int64, shapes []string, rounds int) (err error) {
	work, err := os.MkdirTemp("", "tallybook-peers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := build(ctx, work); err != nil {
		return err
	}
	for _, shape := range shapes {
		dir := filepath.Join(work, shape)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := (&bench{work: work, dir: dir, shape: shape}).run(ctx, events, rounds); err != nil {
			return fmt.Errorf("%s: %w", shape, err)
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func build(ctx context.Context, work string) error {
	for _, args := range [][]string{
		{"go", "build", "-o", filepath.Join(work, "tallybook"), "."},
		{"mvn", "-q", "-B", "-f", "bench/peers/streams/pom.xml", "package"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(args, " "), err)
		}
	}
	return nil
}

// bench is the runs of one shape, on a Kafka of its own.
type bench struct {
	work, dir, shape string
	brokers          string
	server           *servers.Server
	kafka            *broker.Kafka
	sent             totals
}

// totals are what the generator says of what it sent.
type totals struct{ Records, Counted, Duplicates int64 }

func (b *bench) run(ctx context.Context, events int64, rounds int) error {
	server, err := servers.Kafka(ctx, filepath.Join(b.dir, "kafka"))
	defer func() {
		if err := server.Stop(); err != nil {
			log.Print(err)
		}
	}()
	if err != nil {
		return err
	}
	b.server, b.brokers = server, server.Address
	b.kafka = broker.NewKafka(b.brokers)
	defer b.kafka.Close()
	if err := b.generate(ctx, events); err != nil {
		return err
	}
	fmt.Printf("%s: %d records on %d partitions, %d of them repeats\n", b.shape, b.sent.Records, partitions, b.sent.Duplicates)
	fmt.Printf("%-15s %10s %10s %12s %12s %9s  %s\n", "", "seconds", "events/s", "CPU s/M own", "+ broker's", "peak MB", "counted")
	for n := range rounds {
		for _, side := range []func(context.Context, int) (result, error){b.streams, b.ours} {
			r, err := side(ctx, n)
			if err != nil {
				return err
			}
			r.print(b.sent.Records)
		}
	}
	return nil
}

func (b *bench) generate(ctx context.Context, events int64) error {
	cmd := exec.CommandContext(ctx, filepath.Join(b.work, "tallybook"), "generate", "--brokers", b.brokers, "--shape", b.shape,
		"--events", fmt.Sprint(events), "--duplicates", "0.01", "--partitions", fmt.Sprint(partitions), "--data", filepath.Join(b.dir, "none"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	return json.Unmarshal(out, &b.sent)
}

// result is one side's run, from the start of its process to its last commit.
type result struct {
	name      string
	took      time.Duration
	own, kafk time.Duration // CPU
	peak      int64         // bytes resident
	counted   string
}

func (r *result) print(records int64) {
	million := float64(records) / 1e6
	fmt.Printf("%-15s %10.1f %10.0f %12.2f %12.2f %9d  %s\n", r.name, r.took.Seconds(), float64(records)/r.took.Seconds(),
		r.own.Seconds()/million, (r.own+r.kafk).Seconds()/million, r.peak>>20, r.counted)
}
