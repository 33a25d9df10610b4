package known

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/store"
)

const drainLimit = 5 * time.Minute

// Drain waits until every position stands at the end of its log, and says how
// many records the logs have altogether. Nobody sends any more. Between two looks
// it calls wait.
func (l *Load) Drain(ctx context.Context, st *store.Store, wait func(context.Context) error) (logged int64, err error) {
	for deadline := time.Now().Add(drainLimit); ; {
		var behind []string
		logged, _, behind, err = l.behind(ctx, st)
		if err == nil && len(behind) == 0 {
			return logged, nil
		}
		if time.Now().After(deadline) {
			return 0, Finding(fmt.Sprintf("not worked off after %s: %s (%v)", drainLimit, strings.Join(behind, ", "), err))
		}
		if err := wait(ctx); err != nil {
			return 0, err
		}
	}
}

// behind lists the partitions that are not worked off. A connection from before
// a kill is an error first.
func (l *Load) behind(ctx context.Context, st *store.Store) (logged, lag int64, list []string, err error) {
	var positions []store.Position
	err = st.View(ctx, func(v *store.View) (err error) {
		positions, err = v.Positions()
		return err
	})
	for _, p := range positions {
		_, end, err := l.Kafka.Offsets(ctx, p.Partition)
		if err != nil {
			return 0, 0, nil, err
		}
		logged += end
		lag += end - p.Next
		if p.Next != end {
			list = append(list, fmt.Sprintf("%s/%d at %d of %d", p.Topic, p.ID, p.Next, end))
		}
	}
	return logged, lag, list, err
}

// Lag is how many records the log has past the positions.
func (l *Load) Lag(ctx context.Context, st *store.Store) (int64, error) {
	_, lag, _, err := l.behind(ctx, st)
	return lag, err
}

// Sent is what a ledger is held against.
type Sent struct {
	Load     *Load
	Expected *producer.Expected // of the generator
	Others   int64              // records of other loads, all of them to be counted
	Logged   int64              // records in the log
}

// CheckLedger holds the ledger's sums against what was sent. A batch whose answer
// was lost is sent again, so that there may be more duplicates and refused records
// than were made.
func (t *Report) CheckLedger(ledger *jobs.BalanceLine, s Sent) {
	expected, counted := s.Expected, s.Expected.Counted+s.Others
	t.Show("acknowledged", "%d records; pieces sent again after an error: %d", s.Load.Acknowledged, s.Load.Unanswered)
	t.Show("in the log", "%d records, %d of them there again", s.Logged, s.Logged-expected.Records-s.Others)
	if s.Others == 0 {
		t.Show("counted", "%d; the generator made %d", ledger.Counted, counted)
	} else {
		t.Show("counted", "%d; the generator made %d, other loads %d", ledger.Counted, expected.Counted, s.Others)
	}
	t.Show("late, of these", "%d", expected.Late)
	t.Show("duplicates", "%d; the generator made %d", ledger.Duplicate, expected.Duplicates)
	t.Show("rejected", "%d; the generator made %d", ledger.Rejected, expected.Rejected())
	t.Show("difference", "%d", ledger.Counted-counted)
	if s.Load.Acknowledged != expected.Records {
		t.Find("%d records were acknowledged, the generator made %d", s.Load.Acknowledged, expected.Records)
	}
	if d := ledger.Counted - counted; d != 0 {
		t.Find("counted %d, should be %d: a difference of %d", ledger.Counted, counted, d)
	}
	if ledger.First != 0 || ledger.Records != s.Logged || ledger.Counted+ledger.Duplicate+ledger.Rejected != s.Logged {
		t.Find("the ledger has %d records (counted %d + duplicate %d + rejected %d), the log %d",
			ledger.Records, ledger.Counted, ledger.Duplicate, ledger.Rejected, s.Logged)
	}
	if ledger.Duplicate < expected.Duplicates || ledger.Rejected < expected.Rejected() {
		t.Find("duplicates %d and rejected %d must be at least %d and %d", ledger.Duplicate, ledger.Rejected, expected.Duplicates, expected.Rejected())
	}
}
