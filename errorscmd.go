package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"tallybook/pipeline/collector"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// errorsAsked is which internal errors a command is about: those of the ids, or
// the newest open ones.
type errorsAsked struct {
	ids     []string
	account string
	reason  string
	status  string
	limit   int
}

func errorsCommand() *cobra.Command {
	parent := &cobra.Command{Use: "errors", Short: "list, settle and send again what could not be processed", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	add := func(use, short string, args cobra.PositionalArgs, run func(context.Context, *config, *errorsAsked) error) *cobra.Command {
		var asked errorsAsked
		cmd := &cobra.Command{Use: use, Short: short, Args: args, RunE: func(cmd *cobra.Command, ids []string) error {
			asked.ids = ids
			if err := asked.check(cmd); err != nil {
				return usageError{err}
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error { return run(ctx, c, &asked) })
		}}
		cmd.Flags().StringVar(&asked.reason, "reason", "", "only of this `reason`, such as invalid_json")
		cmd.Flags().StringVar(&asked.account, "account", "", "only of this `account`")
		cmd.Flags().IntVar(&asked.limit, "limit", 100, "at most so many, the newest; 1 to 1000")
		parent.AddCommand(cmd)
		if strings.HasPrefix(use, "list") {
			cmd.Flags().StringVar(&asked.status, "status", "all", "`open|resolved|resent|all`")
		}
		return cmd
	}
	some := cobra.ArbitraryArgs
	add("list", "list them, newest first", noArgs, listErrors)
	add("show ID…", "show them whole, as JSON", some, showErrors).Example = "  tallybook errors show 1f3870be274f6c49b3e31a0c6728957f"
	add("resolve [ID…]", "mark them as settled", some, resolveErrors).Example = "  tallybook errors resolve --reason invalid_json --limit 1000"
	add("retry [ID…]", "put their records back on their topics, once each", some, retryErrors).Example = "  tallybook errors retry --reason refused_by_store"
	return parent
}

func (a *errorsAsked) check(cmd *cobra.Command) error {
	switch {
	case a.limit < 1 || a.limit > 1000:
		return fmt.Errorf("--limit %d: allowed are 1 to 1000", a.limit)
	case cmd.Name() == "list":
		if _, ok := errorStatuses[a.status]; !ok {
			return fmt.Errorf("--status %q: allowed are open, resolved, resent, all", a.status)
		}
	case len(a.ids) == 0 && (cmd.Name() == "show" || a.reason == "" && a.account == ""):
		return fmt.Errorf("%s needs the ids of errors, or --reason or --account; 'tallybook errors list' shows them", cmd.CommandPath())
	case len(a.ids) > 0 && a.reason != "":
		return errors.New("give ids or --reason, not both")
	}
	return nil
}

var errorStatuses = map[string]*store.ErrorStatus{"open": status(store.ErrorOpen), "resolved": status(store.ErrorResolved),
	"resent": status(store.ErrorResent), "all": nil}

func status(s store.ErrorStatus) *store.ErrorStatus { return &s }

func readErrors(ctx context.Context, st *store.Store, f store.ErrorFilter) (rows []store.ErrorRow, err error) {
	err = st.View(ctx, func(v *store.View) error {
		rows, err = v.Errors(f)
		return err
	})
	return rows, err
}

func listErrors(ctx context.Context, c *config, a *errorsAsked) error {
	return withStore(ctx, c, func(st *store.Store) error {
		rows, err := readErrors(ctx, st, store.ErrorFilter{Account: a.account, Reason: schemas.Reason(a.reason), Status: errorStatuses[a.status], Limit: a.limit})
		if err != nil {
			return err
		}
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "ID\tTIME\tACCOUNT\tREASON\tRECORDS\tSTATUS\tORIGIN\tMESSAGE")
		for i := range rows {
			e := &rows[i]
			origin := fmt.Sprintf("%s/%d at %d", e.Origin.Topic, e.Origin.ID, e.Offset)
			if e.Endpoint != "" {
				origin = e.Endpoint
			}
			fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", e.ID, time.UnixMicro(e.Time).UTC().Format(time.DateTime), e.Account, e.Reason, e.Records,
				statusText(e), origin, shorten(e.Message, 80))
		}
		return out.Flush()
	})
}

func statusText(e *store.ErrorRow) string {
	switch {
	case e.Status == store.ErrorResolved:
		return "resolved"
	case e.Status == store.ErrorResent && e.ResentAt == 0:
		return "resent?" // begun, and not acknowledged
	case e.Status == store.ErrorResent:
		return "resent"
	}
	return "open"
}

// shorten leaves no control characters for the terminal.
func shorten(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

func showErrors(ctx context.Context, c *config, a *errorsAsked) error {
	return withStore(ctx, c, func(st *store.Store) error {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		for _, id := range a.ids {
			e, err := st.Error(ctx, a.account, id)
			if err != nil {
				return err
			}
			if err := out.Encode(query.ErrorView(&e)); err != nil {
				return err
			}
		}
		return nil
	})
}

// settleErrors does one thing to each of the errors, goes on after those that it
// fails for, and says how many there were of each.
func settleErrors(ctx context.Context, st *store.Store, a *errorsAsked, word string, do func(id string) error) error {
	ids := a.ids
	if len(ids) == 0 {
		rows, err := readErrors(ctx, st, store.ErrorFilter{Account: a.account, Reason: schemas.Reason(a.reason), Status: errorStatuses["open"], Limit: a.limit})
		if err != nil {
			return err
		}
		for i := range rows {
			ids = append(ids, rows[i].ID)
		}
	}
	done := 0
	for _, id := range ids {
		if err := do(id); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", id, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		done++
	}
	fmt.Printf("%s: %d of %d\n", word, done, len(ids))
	if done < len(ids) {
		return fmt.Errorf("%d errors were not %s", len(ids)-done, word)
	}
	return nil
}

func resolveErrors(ctx context.Context, c *config, a *errorsAsked) error {
	return withStore(ctx, c, func(st *store.Store) error {
		return settleErrors(ctx, st, a, "resolved", func(id string) error {
			_, err := st.ResolveError(ctx, commandLine, a.account, id, store.ErrorResolved)
			if errors.Is(err, store.ErrExists) {
				err = errors.New("the record was sent again; that cannot be taken back")
			}
			return err
		})
	})
}

// retryErrors needs the Kafka of the running process.
func retryErrors(ctx context.Context, c *config, a *errorsAsked) error {
	return withStore(ctx, c, func(st *store.Store) error {
		kafka, err := c.kafka()
		if err != nil {
			return usageError{err}
		}
		defer kafka.Close()
		again := collector.Resender{Store: st, Kafka: kafka, DedupeWindow: c.DedupeSpan}
		return settleErrors(ctx, st, a, "sent again", func(id string) error {
			_, err := again.Resend(ctx, commandLine, a.account, id)
			return err
		})
	})
}
