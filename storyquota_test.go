package main

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"time"

	"tallybook/schemas"
)

// storySubscription is one as the script has it; end is zero while it goes on.
type storySubscription struct {
	id, api    string
	start, end time.Time
	quota      *schemas.Quota
}

// check is made at a story's end: alerts that are due are mailed, and what was
// mailed about quotas is what the calls say, each once to each who is told;
// nothing due is left; archive, rollups and ledger agree.
func (s *story) check() {
	s.t.Helper()
	for _, job := range []string{"alerts", "reconcile"} {
		if err := s.services.schedule.RunOnce(context.Background(), job, func(string) {}); err != nil {
			s.fatal("%s: %v", job, err)
		}
	}
	s.showMails(nil)
	got := map[string]int{}
	for _, m := range s.account.mails {
		if began := beganAt.FindStringSubmatch(m.text); began != nil {
			got[m.to+": "+m.subject+", "+began[1]]++
		}
	}
	want := s.crossings()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != 1 {
			s.t.Errorf("%d mails to %s; want 1", got[key], key)
		}
		delete(got, key)
	}
	for key := range got {
		s.t.Errorf("a mail that nothing calls for, to %s", key)
	}
}

var beganAt = regexp.MustCompile(`The period began at (\d{4}-\d\d-\d\d \d\d:\d\d UTC)`)

// crossings are the thresholds that calls crossed, in the order of being sent,
// each in the period of the call's own time.
func (s *story) crossings() map[string]bool {
	used, told := map[string]*big.Rat{}, map[string]bool{}
	for _, call := range s.account.list {
		sub := call.customer.subs[call.api]
		if sub == nil || sub.quota == nil || call.at.Before(sub.start) || !sub.end.IsZero() && !call.at.Before(sub.end) ||
			sub.quota.Route != "" && sub.quota.Route != call.endpoint {
			continue
		}
		start := s.periodStart(sub.quota.Period, call.at.In(call.customer.zone)).UTC().Format("2006-01-02 15:04 UTC")
		key := sub.id + start
		if used[key] == nil {
			used[key] = new(big.Rat)
		}
		used[key].Add(used[key], call.quantity)
		thresholds := sub.quota.Thresholds
		if thresholds == nil {
			thresholds = []int{80}
		}
		for _, percent := range append([]int{100}, thresholds...) {
			from := new(big.Rat).Mul(s.rat(string(sub.quota.Limit)), big.NewRat(int64(percent), 100))
			if used[key].Cmp(from) < 0 {
				continue
			}
			subject := fmt.Sprintf("%d %% of a quota are used", percent)
			if percent == 100 {
				subject = "The limit of a quota is reached"
			}
			for _, to := range []string{call.customer.email, s.ops} {
				told[to+": "+subject+", "+start] = true
			}
		}
	}
	return told
}

// periodStart is the wall clock's.
func (s *story) periodStart(period string, at time.Time) time.Time {
	s.t.Helper()
	day := at.Day()
	switch period {
	case "month":
		day = 1
	case "day":
	default:
		s.fatal("the account does not know the period %q", period)
	}
	return time.Date(at.Year(), at.Month(), day, 0, 0, 0, 0, at.Location())
}
