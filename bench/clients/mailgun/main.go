// Command mailgun asks the stats of a domain with Mailgun's own SDK and compares
// them with what was sent:
//
//	mailgun URL KEY ACCOUNT DOMAIN START END ACCEPTED DELIVERED FAILED
//
// URL ends in /v3; times are RFC 3339.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/mailgun/mailgun-go/v4"
)

func main() {
	if err := check(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mailgun-go:", err)
		os.Exit(1)
	}
}

// named adds the account that an administrator asks for.
type named struct{ account string }

func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Account-ID", n.account)
	return http.DefaultTransport.RoundTrip(r)
}

func check(args []string) error {
	if len(args) != 9 {
		return fmt.Errorf("want URL KEY ACCOUNT DOMAIN START END ACCEPTED DELIVERED FAILED, got %q", args)
	}
	var at [2]time.Time
	for i := range at {
		var err error
		if at[i], err = time.Parse(time.RFC3339, args[4+i]); err != nil {
			return err
		}
	}
	mg := mailgun.NewMailgun(args[3], args[1])
	mg.SetAPIBase(args[0])
	mg.SetClient(&http.Client{Transport: named{args[2]}, Timeout: 10 * time.Second})
	stats, err := mg.GetStats(context.Background(), []string{"accepted", "delivered", "failed"},
		&mailgun.GetStatOptions{Resolution: mailgun.ResolutionDay, Start: at[0], End: at[1]})
	if err != nil {
		return err
	}
	var accepted, delivered, failed int
	for _, s := range stats {
		accepted += s.Accepted.Total
		delivered += s.Delivered.Total
		failed += s.Failed.Temporary.Espblock + s.Failed.Permanent.Total
	}
	got := []int{accepted, delivered, failed}
	for i, text := range args[6:] {
		if want, err := strconv.Atoi(text); err != nil || got[i] != want {
			return fmt.Errorf("%s of %s: got %d, want %s (in %d intervals)", []string{"accepted", "delivered", "failed"}[i], args[3], got[i], text, len(stats))
		}
	}
	fmt.Printf("mailgun-go v4: GetStats of %s in %d intervals agrees: accepted, delivered, failed %v\n", args[3], len(stats), got)
	return nil
}
