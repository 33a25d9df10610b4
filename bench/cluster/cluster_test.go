package main

import (
	"maps"
	"testing"
)

func TestSharesOfTraces(t *testing.T) {
	const printed = `File: tallybook
Type: cpu
Time: 2026-11-21 21:00:00 UTC
Duration: 3s, Total samples = 70ms
-----------+-------------------------------------------------------
      40ms   runtime.memmove
             github.com/klauspost/compress/zstd.(*Encoder).EncodeAll
             github.com/parquet-go/parquet-go.(*Writer).Close (inline)
             tallybook/archive.(*Archive).Stage
             tallybook/pipeline/worker.(*checkpointer).stage
-----------+-------------------------------------------------------
      20ms   tallybook/schemas.(*Decoder).Decode
             tallybook/pipeline/worker.(*partition).process
             tallybook/pipeline/worker.(*fetchLog).fetch
-----------+-------------------------------------------------------
      10ms   runtime.schedule
-----------+-------------------------------------------------------
`
	got := shares{}
	if err := got.addTraces(printed); err != nil {
		t.Fatal(err)
	}
	want := shares{"Parquet": 40, "decode and validate": 20, "the rest": 10}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, bad := range []string{"", "-----------+--\n  soon   main.main\n"} {
		if err := got.addTraces(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

func TestStepsOfMetrics(t *testing.T) {
	const served = `# TYPE tallybook_checkpoint_step_seconds histogram
tallybook_checkpoint_step_seconds_bucket{step="stage",le="0.001"} 0
tallybook_checkpoint_step_seconds_sum{step="stage"} 1.5
tallybook_checkpoint_step_seconds_count{step="stage"} 3
tallybook_checkpoint_transaction_seconds_sum 2e-01
tallybook_checkpoint_transaction_seconds_count 2
`
	got := steps{}
	for range 2 { // two processes
		if err := got.add([]byte(served)); err != nil {
			t.Fatal(err)
		}
	}
	want := steps{"stage": {3, 6}, "transaction": {0.4, 4}}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
