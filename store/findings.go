package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// AlertReconciliation: a check of the numbers against each other failed; one for
// each finding, for all time.
const AlertReconciliation = "reconciliation"

// FindingAlert is the details of a reconciliation's alert.
type FindingAlert struct {
	Check   string `json:"check"` // verify or balance
	Finding string `json:"finding"`
}

// TellFindings puts an alert for each finding that was not told before into the
// outbox, under a job's lease.
func (s *Store) TellFindings(ctx context.Context, l Lease, findings []FindingAlert) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		now := s.now()
		for _, f := range findings {
			sum := sha256.Sum256([]byte(f.Finding))
			a := DueAlert{Kind: AlertReconciliation, Key: f.Check + "/" + hex.EncodeToString(sum[:16]), Count: 1, CreatedAt: now, DueAt: now}
			if err := putAlert(ctx, w, &a, f); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell %d findings: %w", len(findings), err)
	}
	return nil
}
