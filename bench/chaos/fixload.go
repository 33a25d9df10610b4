package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/bench/known"
	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	fixWave     = 40 // events of a wave
	fixPause    = 60 * time.Millisecond
	fixLag      = 25 // waves until half of the corrections follow; the others follow at once
	fixAccounts = 8
	fixAccount  = "chaos-fix-"
	fixSource   = "chaos-fix"
)

// fixLoad sends events and corrections of them, wave by wave. A wave is sent until
// it is acknowledged, and what corrects its events comes in a later one, so that
// each correction applies, once, however often it is there.
type fixLoad struct {
	kafka    *known.Load
	began    time.Time
	waves    int   // of events, so far
	repeated int64 // waves of which a part may be in the log twice
}

func newFixLoad(addr string, began time.Time) *fixLoad {
	return &fixLoad{kafka: known.NewLoad(addr), began: began}
}

// run sends waves of events until enough ends, and then what is due to them.
func (l *fixLoad) run(ctx, enough context.Context) error {
	w := l.kafka.Kafka.Writer(schemas.Usage)
	w.BatchTimeout = fixPause / 10
	defer w.Close()
	for wave := 0; ; wave++ {
		if enough.Err() == nil {
			l.waves = wave + 1
		}
		piece := l.wave(wave)
		if len(piece) == 0 && wave > l.waves+2*fixLag {
			l.repeated = l.kafka.Unanswered
			return nil
		}
		if len(piece) > 0 {
			if err := l.kafka.Send(ctx, w, piece); err != nil {
				return err
			}
		}
		if enough.Err() == nil {
			pause(enough, fixPause)
		}
	}
}

// wave has the events of this wave and the corrections that are due in it, none
// of which waits for another of them.
func (l *fixLoad) wave(wave int) (piece []kafka.Message) {
	add := func(n int, value []byte) {
		piece = append(piece, kafka.Message{Key: []byte(fixAccountOf(n)), Value: value})
	}
	if wave < l.waves {
		for n := wave * fixWave; n < (wave+1)*fixWave; n++ {
			add(n, fixEvent(n, l.began))
		}
	}
	for _, lag := range []int{1, fixLag} {
		for revision := 1; revision <= 2; revision++ {
			from := wave - revision*lag
			if from < 0 || from >= l.waves {
				continue
			}
			for n := from * fixWave; n < (from+1)*fixWave; n++ {
				if revision <= fixRevisions(n) && (n%2 == 0) == (lag == 1) {
					add(n, fixCorrection(n, revision))
				}
			}
		}
	}
	return piece
}

func fixAccountOf(n int) string { return fixAccount + strconv.Itoa(n%fixAccounts) }

// fixFate is what becomes of an event: how often it is corrected, and whether the
// last of that takes it back.
func fixFate(n int) (revisions int, retracted bool) {
	switch n / 2 % 5 {
	case 0:
		return 0, false
	case 1:
		return 1, true
	case 2:
		return 1, false
	case 3:
		return 2, true
	}
	return 2, false
}

func fixRevisions(n int) int {
	revisions, _ := fixFate(n)
	return revisions
}

// fixData is an event's data at a revision. Bytes only ever grow, since the
// watcher looks at them: what is taken back has none.
func fixData(n, revision int) (endpoint string, quantity, latency, bytes int64) {
	if _, retracted := fixFate(n); !retracted {
		bytes = int64(10 + revision)
	}
	return fmt.Sprintf("/fix/%d", (n+revision)%3), int64(1 + (n+2*revision)%5), int64(1 + (7*n+revision)%40), bytes
}

func fixJSON(n, revision int) []byte {
	endpoint, quantity, latency, bytes := fixData(n, revision)
	return fmt.Appendf(nil, `{"api":"chaos","endpoint":%q,"method":"PUT","status":200,"quantity":%d,"latency_ms":%d,"bytes":%d}`, endpoint, quantity, latency, bytes)
}

func fixEvent(n int, began time.Time) []byte {
	at := began.Add(time.Duration(-n%50) * time.Hour).UTC()
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","source":%q,"type":"api.request","subject":%q,"time":%q,"data":%s}`,
		n, fixSource, fixAccountOf(n), at.Format(time.RFC3339Nano), fixJSON(n, 0))
}

func fixCorrection(n, revision int) []byte {
	revisions, retracted := fixFate(n)
	own := schemas.Identity{ID: fmt.Sprintf("%d-%d", n, revision), Source: fixSource, Account: fixAccountOf(n)}
	c := schemas.Correction{Source: fixSource, ID: strconv.Itoa(n), Revision: int64(revision), Reason: "chaos"}
	if retracted && revision == revisions {
		return schemas.NewRetraction(own, c)
	}
	c.After = json.RawMessage(fixJSON(n, revision))
	event, err := schemas.NewAmendment(own, c)
	if err != nil {
		panic(err) // the data is JSON
	}
	return event
}

// fixKey names a part of what is left.
type fixKey struct{ account, endpoint string }

// fixTotals are what must be counted in the end.
type fixTotals struct {
	events, corrections, amendments int64 // records that count
	left                            producer.Totals
	parts                           map[fixKey]producer.Totals
}

func (l *fixLoad) expect() (*fixTotals, error) {
	t := &fixTotals{parts: map[fixKey]producer.Totals{}}
	sum := map[string]producer.Totals{}
	for n := range l.waves * fixWave {
		revisions, retracted := fixFate(n)
		t.events++
		t.corrections += int64(revisions)
		t.amendments += int64(revisions)
		if retracted {
			t.amendments--
			continue
		}
		endpoint, quantity, latency, bytes := fixData(n, revisions)
		x := producer.Totals{Events: 1, Quantity: schemas.DecimalFromInt(quantity), LatencyMS: schemas.DecimalFromInt(latency), Bytes: bytes}
		if err := known.Plus(t.parts, fixKey{fixAccountOf(n), endpoint}, x); err != nil {
			return nil, err
		}
		if err := known.Plus(sum, "", x); err != nil {
			return nil, err
		}
	}
	t.left = sum[""]
	return t, nil
}

// checkFixes compares what is left of the corrected events.
func (t *test) checkFixes(ctx context.Context, st *store.Store, ledger *jobs.BalanceLine, want *fixTotals) error {
	got := map[fixKey]producer.Totals{}
	f := schemas.FamilyRequest
	err := st.View(ctx, func(v *store.View) error {
		return v.Rollups(store.RollupQuery{Family: f, From: math.MinInt32, To: math.MaxInt32}, func(r *store.Rollup) error {
			if !strings.HasPrefix(r.Series.Account, fixAccount) {
				return nil
			}
			return known.Plus(got, fixKey{r.Series.Account, r.Series.Dims[f.Dim("endpoint")]},
				producer.Totals{Events: r.Count, Quantity: r.Quantity, LatencyMS: r.ValueSum, Bytes: r.Bytes})
		})
	})
	if err != nil {
		return err
	}
	known.Compare(&t.Report, "corrected events", want.parts, got)
	if ledger.ExtraRows != want.amendments {
		t.Find("%d second rows of amendments, should be %d", ledger.ExtraRows, want.amendments)
	}
	t.Show("corrections", "%d of %d events, %d of them amendments: %d events are left; waves sent again after an error: %d",
		want.corrections, want.events, want.amendments, want.left.Events, t.fixes.repeated)
	return nil
}
