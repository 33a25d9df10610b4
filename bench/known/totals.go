package known

import (
	"context"
	"math"
	"strconv"
	"strings"

	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

// families hold the events that the generator sends, one per topic.
var families = []*schemas.Family{schemas.FamilyRequest, schemas.FamilyError, schemas.FamilyEmail}

// shown is what the rollups say of the generator's accounts, cut as Expected is.
type shown struct {
	topics   map[schemas.Topic]producer.Totals
	accounts map[producer.AccountKey]producer.Totals
	hours    map[producer.HourKey]producer.Totals
	statuses map[producer.StatusKey]producer.Totals
}

// CheckTotals compares the hour rollups with the generator's totals; others are
// the accounts of other loads, by the beginnings of their names.
func (t *Report) CheckTotals(ctx context.Context, st *store.Store, expected *producer.Expected, others ...string) error {
	got := shown{map[schemas.Topic]producer.Totals{}, map[producer.AccountKey]producer.Totals{},
		map[producer.HourKey]producer.Totals{}, map[producer.StatusKey]producer.Totals{}}
	for _, family := range families {
		q := store.RollupQuery{Family: family, From: math.MinInt32, To: math.MaxInt32, Resolution: store.Hourly}
		err := st.View(ctx, func(v *store.View) error {
			return v.Rollups(q, func(r *store.Rollup) error {
				for _, other := range others {
					if strings.HasPrefix(r.Series.Account, other) {
						return nil
					}
				}
				return got.add(family, r)
			})
		})
		if err != nil {
			return err
		}
	}
	Compare(t, "topic", expected.Topics, got.topics)
	Compare(t, "account", expected.Accounts, got.accounts)
	Compare(t, "hour", expected.Hours, got.hours)
	Compare(t, "status", expected.Statuses, got.statuses)
	t.Show("compared", "%d accounts, %d hours, %d statuses of %d topics: events, quantity, latency, bytes",
		len(expected.Accounts), len(expected.Hours), len(expected.Statuses), len(expected.Topics))
	return nil
}

func (s *shown) add(family *schemas.Family, r *store.Rollup) error {
	topic := family.Topic
	var status int64
	if at := family.Dim("status"); at >= 0 {
		var err error
		if status, err = strconv.ParseInt(r.Series.Dims[at], 10, 32); err != nil {
			return err
		}
	}
	x := producer.Totals{Events: r.Count}
	if topic == schemas.Usage {
		x.Quantity, x.LatencyMS, x.Bytes = r.Quantity, r.ValueSum, r.Bytes
	}
	if err := Plus(s.topics, topic, x); err != nil {
		return err
	}
	if err := Plus(s.accounts, producer.AccountKey{Topic: topic, Account: r.Series.Account}, x); err != nil {
		return err
	}
	if err := Plus(s.hours, producer.HourKey{Topic: topic, Hour: r.Window}, x); err != nil {
		return err
	}
	return Plus(s.statuses, producer.StatusKey{Topic: topic, Status: int32(status)}, x)
}

// Plus adds x to what is there under key.
func Plus[K comparable](to map[K]producer.Totals, key K, x producer.Totals) (err error) {
	sum := to[key]
	sum.Events += x.Events
	sum.Bytes += x.Bytes
	if sum.Quantity, err = sum.Quantity.Add(x.Quantity); err != nil {
		return err
	}
	if sum.LatencyMS, err = sum.LatencyMS.Add(x.LatencyMS); err != nil {
		return err
	}
	to[key] = sum
	return nil
}

// Compare finds what differs.
func Compare[K comparable](t *Report, what string, want, got map[K]producer.Totals) {
	for key, w := range want {
		if g := got[key]; g != w {
			t.Find("%s %v: shows %+v, should be %+v", what, key, g, w)
		}
	}
	for key, g := range got {
		if _, known := want[key]; !known {
			t.Find("%s %v: shows %+v, nothing of it was sent", what, key, g)
		}
	}
}

// CheckErrors compares error rows with the malformed records. One that was sent
// again is refused again, so that only different inputs count; records without
// a value are all alike, of them there must be enough.
func (t *Report) CheckErrors(ctx context.Context, st *store.Store, expected *producer.Expected) error {
	type input struct {
		reason  schemas.Reason
		account string
		sum     [32]byte
	}
	inputs, empty, unlisted := map[input]bool{}, int64(0), int64(0)
	err := st.View(ctx, func(v *store.View) error {
		rows, err := v.Errors(store.ErrorFilter{})
		for _, e := range rows {
			if e.Reason == schemas.EmptyRecord {
				empty += e.Records
				continue
			}
			unlisted += e.Records - 1
			inputs[input{e.Reason, e.Account, e.InputSHA256}] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	got := map[schemas.Reason]int64{}
	for in := range inputs {
		got[in.reason]++
	}
	var distinct int64
	for reason, want := range expected.Malformed {
		if reason == schemas.EmptyRecord {
			if empty < want {
				t.Find("%d empty records were refused, the generator made %d", empty, want)
			}
			continue
		}
		distinct += want
		// Above the limit per minute a row stands for several inputs.
		if n := got[reason]; n != want && (unlisted == 0 || n > want) {
			t.Find("%d different records were refused for %s, the generator made %d", n, reason, want)
		}
		delete(got, reason)
	}
	for reason, n := range got {
		t.Find("%d records were refused for %s, the generator made none", n, reason)
	}
	t.Show("refused, different", "%d with their reasons", distinct)
	return nil
}
