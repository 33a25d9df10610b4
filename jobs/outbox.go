package jobs

import (
	"context"
	"time"

	"tallybook/mail"
)

// Outbox does what the mail sender has due: deferred mails, e-mail events that
// are not on the topic yet, mails of processes that died. The sender does so
// by itself while it runs; the job is for those that only run jobs, and by hand.
func Outbox(sender *mail.Sender) Job {
	return Job{Name: "outbox", Schedule: "@every 1m", Run: func(ctx context.Context, _ time.Time, _ func(string)) error {
		return sender.RunOnce(ctx)
	}}
}
