package mail_test

import (
	"testing"

	"tallybook/mail/mailtest"
)

// Those of the cases that are given in prose have tests of their own, of these names.
var inProse = map[string]func(*testing.T){
	"crash-after-accept":              TestCrashAfterAccept,
	"late-webhook-confirms-duplicate": TestLateWebhookConfirmsDuplicate,
}

func TestCases(t *testing.T) {
	for _, c := range mailtest.ReadCases(t, mailtest.CaseFile("..")) {
		t.Run(c.Name, func(t *testing.T) {
			if c.Given != "" {
				test := inProse[c.Name]
				if test == nil {
					t.Fatalf("no test is like it: %s", c.Given)
				}
				test(t)
				return
			}
			c.Run(t, func(t *testing.T, config []byte, clock *mailtest.Clock) *mailtest.Service {
				return newRig(t, config, clock, nil).service()
			})
		})
	}
}
