package bench

import (
	"io"
	"testing"
)

// What the questions of bench-query are answered is what was written, while
// the month is open and when it is closed.
func TestQueryBench(t *testing.T) {
	b := &queryBench{Config: &Config{Out: io.Discard}, dir: t.TempDir(),
		shape: queryShape{accounts: 20, series: 60, domains: 3, rows: 2000, earlier: 500, mails: 500, asked: 20, starts: 1}}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	requests, mails := b.rows.topics[0], b.rows.topics[1]
	rounds := int64(b.questions[2].times / b.shape.accounts)
	for i, want := range map[int]int64{
		1: int64(b.questions[1].times) * mails.last,
		2: rounds * requests.all, 3: rounds * requests.all, 4: rounds * requests.all, 5: requests.last,
	} {
		if got := b.sums[i]; got != want || want == 0 {
			t.Errorf("%s: got %d, want %d", b.questions[i].name, got, want)
		}
	}
}
