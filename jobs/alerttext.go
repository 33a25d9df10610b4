package jobs

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"time"

	"tallybook/store"
)

// alertText is an alert in words; lines are paragraphs.
type alertText struct {
	subject string
	lines   []string
}

const alertTime = "2006-01-02 15:04 MST"

func newAlertText(a *store.DueAlert) (alertText, error) {
	if a.Kind == store.AlertThreshold || a.Kind == store.AlertLimit {
		var q store.QuotaAlert
		if err := detailsOf(a, &q); err != nil {
			return alertText{}, err
		}
		return quotaText(&q), nil
	}
	if a.Kind == store.AlertReconciliation {
		var f store.FindingAlert
		if err := detailsOf(a, &f); err != nil {
			return alertText{}, err
		}
		return alertText{"A check of the numbers failed", []string{f.Finding + ".", "'tallybook " + f.Check + "' shows all of it."}}, nil
	}
	var d store.DigestAlert
	if err := detailsOf(a, &d); err != nil {
		return alertText{}, err
	}
	hour := d.Hour.UTC().Format(alertTime) + " to " + d.Hour.UTC().Add(time.Hour).Format(alertTime)
	if a.Kind == store.AlertUnknownKey {
		return alertText{"Requests with unknown keys",
			[]string{fmt.Sprintf("%d requests had keys that nobody has, from %s.", a.Count, hour), "The list of internal errors has the prefixes of the keys' hashes."}}, nil
	}
	return alertText{"Requests without a valid subscription",
		[]string{fmt.Sprintf("%d requests were of no valid subscription (%s), from %s.", a.Count, d.Reason, hour), "They are kept, and not rated."}}, nil
}

func detailsOf(a *store.DueAlert, to any) error {
	if err := json.Unmarshal(a.Details, to); err != nil {
		return fmt.Errorf("details of alert %s: %w", a.ID, err)
	}
	return nil
}

func quotaText(q *store.QuotaAlert) alertText {
	t := alertText{subject: fmt.Sprintf("%d %% of a quota are used", q.Percent)}
	if q.Percent == 100 {
		t.subject = "The limit of a quota is reached"
	}
	of := "subscription " + q.Subscription
	if q.Route != "" {
		of += ", " + q.Route
	}
	t.lines = append(t.lines, fmt.Sprintf("%s of %s are used of the quota of %s.", q.Used, q.Limit, of))
	period := "The period began at " + q.PeriodStart.UTC().Format(alertTime)
	if !q.PeriodEnd.IsZero() {
		period += " and ends at " + q.PeriodEnd.UTC().Format(alertTime)
	}
	t.lines = append(t.lines, period+".")
	if q.Percent >= 100 && q.Hard {
		t.lines = append(t.lines, "Access checks refuse further requests until then.")
	}
	return t
}

// forOperators says whose alert it is; "": nobody's.
func (t alertText) forOperators(customer string) alertText {
	if customer != "" {
		t.lines = append([]string{"Customer: " + customer}, t.lines...)
	}
	return t
}

func (t alertText) html() string {
	var b strings.Builder
	for _, line := range t.lines {
		b.WriteString("<p>" + html.EscapeString(line) + "</p>\n")
	}
	return b.String()
}
