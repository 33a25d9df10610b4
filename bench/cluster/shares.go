package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// parts name what a function works for, by the beginning of its name; the first
// that fits counts. Of a stack the innermost function that has a part decides,
// so that what libraries do is their caller's.
var parts = []struct{ prefix, part string }{
	{"tallybook/store.", "SQL"},
	{"github.com/jackc/", "SQL"},
	{"modernc.org/", "SQL"},
	{"database/sql.", "SQL"},
	{"github.com/parquet-go/", "Parquet"},
	{"tallybook/archive.", "Parquet"},
	{"gocloud.dev/", "object store"},
	{"github.com/aws/", "object store"},
	{"tallybook/pipeline/worker.(*checkpointer).publish", "Parquet"},
	{"tallybook/pipeline/worker.(*checkpointer)", "making checkpoints"},
	{"tallybook/pipeline/worker.(*cells).appendTo", "making checkpoints"},
	{"tallybook/pipeline/worker.(*sketchPacker)", "making checkpoints"},
	{"tallybook/pipeline/worker.(*latencies).appendTo", "making checkpoints"},
	{"tallybook/pipeline/worker.(*meterFolds).appendTo", "making checkpoints"},
	{"tallybook/schemas.(*Decoder)", "decode and validate"},
	{"tallybook/schemas.Rules", "decode and validate"},
	{"tallybook/schemas.(*Rules)", "decode and validate"},
	{"tallybook/pipeline/worker.(*partition).judge", "decode and validate"},
	{"tallybook/pipeline/worker.(*window)", "dedupe"},
	{"tallybook/pipeline/worker.(*idTable)", "dedupe"},
	{"tallybook/pipeline/worker.(*idHasher)", "dedupe"},
	{"tallybook/pipeline/worker.(*fetchLog)", "Kafka"},
	{"github.com/segmentio/kafka-go", "Kafka"},
	{"tallybook/pipeline/broker.", "Kafka"},
	{"tallybook/pipeline/worker.", "rate and fold"},
	{"runtime.gcBgMarkWorker", "garbage collection"},
	{"runtime.bgsweep", "garbage collection"},
	{"runtime.bgscavenge", "garbage collection"},
	{"tallybook/", "the rest"},
}

func partOf(function string) string {
	for _, p := range parts {
		if strings.HasPrefix(function, p.prefix) {
			return p.part
		}
	}
	return ""
}

// shares adds up the processes' profiles, which begin with their start: the shorter
// the run, the larger "the rest". It keeps them in a folder where one
// is named.
func (f *fleet) shares(keep string) (shares, error) {
	s := shares{}
	for _, p := range f.processes {
		out, err := exec.Command("go", "tool", "pprof", "-traces", "-unit=ms", p.profile).Output()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", p.profile, err)
		}
		if err := s.addTraces(string(out)); err != nil {
			return nil, fmt.Errorf("%s: %w", p.profile, err)
		}
		if keep == "" {
			continue
		}
		name := fmt.Sprintf("%s-%s-%d-%s", f.shape, f.setup.store, f.workers, filepath.Base(p.profile))
		if err := copyFile(p.profile, filepath.Join(keep, name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// addTraces takes stacks as pprof prints them: behind a line of dashes the time
// and the innermost function, then its callers, a line each.
//
//	-----------+----------------------
//	      40ms   runtime.memmove
//	             main.caller (inline)
func (s shares) addTraces(text string) error {
	const rule = "-----------+"
	_, text, ok := strings.Cut(text, rule)
	if !ok {
		return errors.New("pprof prints no stacks")
	}
	for stack := range strings.SplitSeq(text, rule) {
		_, stack, _ = strings.Cut(stack, "\n") // more dashes
		words := strings.Fields(stack)
		if len(words) < 2 {
			continue // behind the last
		}
		ms, err := strconv.ParseFloat(strings.TrimSuffix(words[0], "ms"), 64)
		if err != nil {
			return fmt.Errorf("a stack of pprof begins with %q", words[0])
		}
		s[partOfStack(words[1:])] += ms
	}
	return nil
}

func partOfStack(functions []string) string {
	for _, name := range functions {
		if part := partOf(name); part != "" {
			return part
		}
	}
	return "the rest" // the runtime's scheduler, start and end
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
