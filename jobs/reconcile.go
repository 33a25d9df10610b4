package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallybook/archive"
	"tallybook/store"
)

// ErrDiffers: a check found differences; the error's text lists them.
var ErrDiffers = errors.New("the check found differences")

// maxTold is how many findings of a check become alerts in a run: where much is
// wrong, the first of it and the numbers in the job's report are enough.
const maxTold = 10

// Reconcile runs balance and verify, and tells operators of what they find, each
// finding once. It reads a file at a time, on one processor, and holds what one
// date needs. One check that cannot be done does not keep the other from it.
func Reconcile(ctx context.Context, st *store.Store, ar *archive.Archive, l store.Lease, progress func(string)) error {
	balance, balanceErr := Balance(ctx, BalanceConfig{Store: st, Archive: ar, Progress: progress})
	if ctx.Err() != nil {
		return balanceErr
	}
	verify, verifyErr := Verify(ctx, VerifyConfig{Store: st, Archive: ar, Progress: progress})
	findings := append(told("balance", balance.all()), told("verify", verify.all())...)
	err := errors.Join(balanceErr, verifyErr)
	if len(findings) == 0 {
		return err
	}
	return errors.Join(fmt.Errorf("%w:\n%s%s", ErrDiffers, balance, verify), err, st.TellFindings(ctx, l, findings))
}

// ReconcileJob reconciles every night.
func ReconcileJob(st *store.Store, ar *archive.Archive) Job {
	return Job{Name: "reconcile", Schedule: "47 2 * * *", Leased: func(ctx context.Context, l store.Lease, _ time.Time, progress func(string)) error {
		return Reconcile(ctx, st, ar, l, progress)
	}}
}

func told(check string, findings []string) (alerts []store.FindingAlert) {
	for _, f := range findings[:min(len(findings), maxTold)] {
		alerts = append(alerts, store.FindingAlert{Check: check, Finding: f})
	}
	return alerts
}

// all are the findings in words, those of partitions with their name.
func (r BalanceReport) all() []string {
	all := append([]string(nil), r.Findings...)
	for i := range r.Partitions {
		for _, f := range r.Partitions[i].Findings {
			all = append(all, fmt.Sprintf("%s/%d: %s", r.Partitions[i].Topic, r.Partitions[i].Partition, f))
		}
	}
	return all
}

func (r VerifyReport) all() (all []string) {
	for i := range r.Topics {
		for _, d := range r.Topics[i].Differences {
			all = append(all, d.String())
		}
	}
	for _, d := range r.Built.Differences {
		all = append(all, d.String())
	}
	return all
}
