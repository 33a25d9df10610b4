package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/store"
)

func eraseCommand() *cobra.Command {
	var account, recipient string
	cmd := &cobra.Command{Use: "erase", Short: "replace what is personal of an account, or of one recipient of its mails, by hashes", Args: noArgs,
		Long: `Replaces client_ip, recipient, the local part of message_id, session, input and data by
salted hashes, in every archive file and in what the store keeps of events and mails. Sums,
invoices and their proofs stay as they are. Of data what declared meters count by stays.

It may run beside a running process, may be stopped, and may be repeated: what is erased is
not touched any more. Files that were rewritten are deleted at once. Not erased: events that
come in from now on, mails that are still to be sent, customers and their invoices,
addresses that no mail is sent to any more, copies in _quarantine/, backups, and the log.`,
		Example: "  tallybook erase --account acme\n  tallybook erase --account acme --recipient ann@example.com",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if account == "" {
				return usageError{errors.New("erase needs --account")}
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return runErase(ctx, c, jobs.EraseConfig{Account: account, Recipient: recipient, Actor: commandLine}, cmd.OutOrStdout())
			})
		}}
	cmd.Flags().StringVar(&account, "account", "", "`account` whose personal data is erased")
	cmd.Flags().StringVar(&recipient, "recipient", "", "only what is about this `address`")
	return cmd
}

func runErase(ctx context.Context, c *config, cfg jobs.EraseConfig, out io.Writer) error {
	return withStore(ctx, c, func(st *store.Store) error {
		ar, err := archive.Open(c.archiveURL())
		if err != nil {
			return usageError{err}
		}
		cfg.Store, cfg.Archive = st, ar
		runner, err := jobs.NewRunner(jobs.RunnerConfig{Jobs: []jobs.Job{jobs.EraseJob(cfg)}, Registry: prometheus.NewRegistry(), Store: st, Log: c.logger()})
		if err != nil {
			return err
		}
		if err := runInTurn(ctx, runner, jobs.EraseJob(cfg).Name, func(text string) { fmt.Fprintln(out, text) }); err != nil {
			return err
		}
		fmt.Fprintln(out, "erase: done")
		return nil
	})
}
