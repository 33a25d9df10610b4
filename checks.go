package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/store"
)

var errCheckFailed = errors.New("the check found differences")

// hasData tells a data folder from one that was named wrongly, or from a wrong
// place to call from.
func (c *config) hasData() error {
	if _, err := os.Stat(c.storeURL()); c.Store == "" && err != nil {
		return usageError{fmt.Errorf("no data here: %w; name the folder with --data", err)}
	}
	return nil
}

// checkView is how long a check may look at one state of the store: a day of
// many series takes longer on a busy machine than a server's answer may.
const checkView = time.Minute

// openToRead opens store and archive as a check needs them: beside a running
// process or on a stopped data folder, changing nothing.
func openToRead(ctx context.Context, c *config) (*store.Store, *archive.Archive, error) {
	if err := c.hasData(); err != nil {
		return nil, nil, err
	}
	st, err := store.Open(ctx, c.storeURL(), store.Options{ReadOnly: true, ViewTimeout: checkView, Log: c.logger()})
	if err != nil {
		return nil, nil, usageError{err}
	}
	ar, err := archive.Open(c.archiveURL())
	if err != nil {
		return nil, nil, usageError{errors.Join(err, st.Close())}
	}
	return st, ar, nil
}

func runVerify(ctx context.Context, c *config) error {
	st, ar, err := openToRead(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	return verify(ctx, st, ar, os.Stdout)
}

func verify(ctx context.Context, st *store.Store, ar *archive.Archive, out io.Writer) error {
	report, err := jobs.Verify(ctx, jobs.VerifyConfig{Store: st, Archive: ar, Hashes: true})
	if err != nil {
		return err
	}
	fmt.Fprint(out, report)
	if !report.OK() {
		return fmt.Errorf("verify: %w", errCheckFailed)
	}
	fmt.Fprintln(out, "verify: good, every rollup equals the fold of the archive")
	return nil
}

func runBalance(ctx context.Context, c *config) error {
	st, ar, err := openToRead(ctx, c)
	if err != nil {
		return err
	}
	defer st.Close()
	return balance(ctx, st, ar, os.Stdout)
}

func balance(ctx context.Context, st *store.Store, ar *archive.Archive, out io.Writer) error {
	report, err := jobs.Balance(ctx, jobs.BalanceConfig{Store: st, Archive: ar})
	if err != nil {
		return err
	}
	fmt.Fprint(out, report)
	if !report.OK() {
		return fmt.Errorf("balance: %w", errCheckFailed)
	}
	fmt.Fprintln(out, "balance: good, every record up to the positions is counted, a duplicate or an error row")
	return nil
}
