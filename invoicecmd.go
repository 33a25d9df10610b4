package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/pipeline/broker"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// maxInvoiceText bounds the texts that stand on every document.
const maxInvoiceText = 2000

// invoiceJob makes invoices; kafka is asked which partitions were read to their
// end (nil: every partition's log clock is waited for).
func (c *config) invoiceJob(st *store.Store, ar *archive.Archive, kafka *broker.Kafka) jobs.Job {
	cfg := jobs.InvoicesConfig{Store: st, Archive: ar, Grace: c.InvoiceGrace, Issuer: c.InvoiceIssuer, Note: c.InvoiceNote}
	if kafka != nil {
		cfg.LogEnds = func(ctx context.Context) (map[schemas.Partition]int64, error) {
			return logEnds(ctx, st, kafka, schemas.Usage)
		}
	}
	return jobs.InvoicesJob(cfg)
}

// logEnds are the ends of the topics' partitions that have a position; of all
// topics where none is named.
func logEnds(ctx context.Context, st *store.Store, kafka *broker.Kafka, topics ...schemas.Topic) (map[schemas.Partition]int64, error) {
	var positions []store.Position
	err := st.View(ctx, func(v *store.View) (err error) {
		positions, err = v.Positions(topics...)
		return err
	})
	if err != nil {
		return nil, err
	}
	ends := map[schemas.Partition]int64{}
	for _, p := range positions {
		_, end, err := kafka.Offsets(ctx, p.Partition)
		if err != nil {
			return nil, err
		}
		ends[p.Partition] = end
	}
	return ends, nil
}

// runningKafka is the Kafka of this installation: the one that was named, or that
// of the process which has the data folder; nil: there is none.
func (c *config) runningKafka() (*broker.Kafka, error) {
	if holder, _ := lockHolder(c.Data); holder == "" && len(c.Brokers) == 0 {
		return nil, nil
	}
	return c.kafka()
}

func invoiceCommand() *cobra.Command {
	parent := &cobra.Command{Use: "invoice", Short: "list, show and export invoices and credit notes", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var f store.InvoiceFilter
	list := &cobra.Command{Use: "list", Short: "list them", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		if err := checkMonth(f.Month); err != nil {
			return err
		}
		return withConfig(cmd, func(ctx context.Context, c *config) error { return listInvoices(ctx, c, f, cmd.OutOrStdout()) })
	}}
	list.Flags().StringVar(&f.Account, "account", "", "only of this `account`")
	list.Flags().StringVar(&f.Customer, "customer", "", "only of the customer with this `id`")
	list.Flags().StringVar(&f.Month, "month", "", "only of this month, `YYYY-MM`")
	list.Flags().BoolVar(&f.Drafts, "drafts", true, "drafts too")
	one := func(use, short string, write func(context.Context, *store.Store, *store.Invoice, io.Writer) error) *cobra.Command {
		return &cobra.Command{Use: use + " INVOICE", Short: short, Args: oneArg, RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return withStore(ctx, c, func(st *store.Store) error {
					i, err := findInvoice(ctx, st, args[0])
					if err != nil {
						return err
					}
					return write(ctx, st, &i, cmd.OutOrStdout())
				})
			})
		}}
	}
	parent.AddCommand(list,
		one("show", "show one as JSON; INVOICE is a number or an id", func(_ context.Context, _ *store.Store, i *store.Invoice, out io.Writer) error {
			return writeIndented(out, query.InvoiceViewOf(i))
		}),
		one("html", "print one as an HTML page", func(_ context.Context, _ *store.Store, i *store.Invoice, out io.Writer) error {
			return query.InvoiceHTML(out, i)
		}),
		one("pdf", "print one as PDF", func(_ context.Context, _ *store.Store, i *store.Invoice, out io.Writer) error {
			return query.InvoicePDF(out, i)
		}),
		one("csv", "print the lines of one as CSV", func(_ context.Context, _ *store.Store, i *store.Invoice, out io.Writer) error {
			return query.InvoiceCSV(out, i)
		}),
		one("bundle", "print what 'tallybook prove --bundle' needs beside the Parquet files", func(ctx context.Context, st *store.Store, i *store.Invoice, out io.Writer) error {
			b, err := jobs.NewBundle(ctx, st, i)
			if err != nil {
				return err
			}
			return writeIndented(out, b)
		}))
	parent.AddCommand(previewCommand())
	return parent
}

// checkMonth refuses what is no month: as a filter it would find nothing.
func checkMonth(month string) error {
	if _, err := schemas.ParseMonth(month); month != "" && err != nil {
		return usageError{fmt.Errorf("--month %q: must be YYYY-MM, such as 2026-01", month)}
	}
	return nil
}

func previewCommand() *cobra.Command {
	var file, month string
	cmd := &cobra.Command{Use: "preview [INVOICE…]", Short: "show what other prices would have billed for the usage of invoices; nothing is written",
		Long: "The file has a price, or a list of them, as POST /v1/routes takes them, each with its route:\n" +
			`  {"apiName":"shop","apiVersion":"v1","endpointName":null,"pricingModelName":"standard","model":"per_unit","params":{"unit_price":"0.02"}}`,
		Example: "  tallybook invoice preview --price-change new.json --month 2026-01",
		RunE: func(cmd *cobra.Command, names []string) error {
			if file == "" || (len(names) == 0) == (month == "") {
				return usageError{errors.New("preview needs --price-change, and invoices or --month")}
			}
			if err := checkMonth(month); err != nil {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return usageError{err}
			}
			changes, err := jobs.ReadPriceChanges(text)
			if err != nil {
				return usageError{fmt.Errorf("%s: %w", file, err)}
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return preview(ctx, c, changes, names, month, cmd.OutOrStdout())
			})
		}}
	cmd.Flags().StringVar(&file, "price-change", "", "`file` of the prices, JSON")
	cmd.Flags().StringVar(&month, "month", "", "all invoices of this month, `YYYY-MM`")
	return cmd
}

func preview(ctx context.Context, c *config, changes []jobs.PriceChange, names []string, month string, out io.Writer) error {
	ar, err := archive.Open(c.archiveURL())
	if err != nil {
		return usageError{err}
	}
	return withStore(ctx, c, func(st *store.Store) error {
		met := make([]bool, len(changes))
		one := func(i *store.Invoice) error {
			p, err := jobs.PreviewInvoice(ctx, ar, st, i, changes)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%s %s %s: %s, would be %s %s\n", orDash(i.Number), i.Month, i.Customer.Name, p.Was, p.Would, i.Currency)
			for _, l := range p.Lines {
				met[l.Change] = true
				fmt.Fprintf(out, "  %s: quantity %s, %s, would be %s\n", l.Title, l.Quantity, l.Was, l.Would)
			}
			return nil
		}
		for _, name := range names {
			i, err := findInvoice(ctx, st, name)
			if err == nil {
				err = one(&i)
			}
			if err != nil {
				return err
			}
		}
		f := store.InvoiceFilter{Month: month, Kind: schemas.KindInvoice, Drafts: true, Limit: 100}
		for more := month != ""; more; {
			list, err := st.Invoices(ctx, f)
			if err != nil {
				return err
			}
			for n := range list {
				if err := one(&list[n]); err != nil {
					return err
				}
				f.After = list[n].ID
			}
			more = len(list) == f.Limit
		}
		for n, c := range changes {
			if !met[n] {
				fmt.Fprintf(out, "%s changes nothing: none of these invoices has a price of it\n", &c)
			}
		}
		return nil
	})
}

func writeIndented(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// findInvoice finds a document by its number or id.
func findInvoice(ctx context.Context, st *store.Store, name string) (store.Invoice, error) {
	i, err := st.InvoiceByNumber(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		i, err = st.Invoice(ctx, name)
	}
	if errors.Is(err, store.ErrNotFound) {
		return i, usageError{fmt.Errorf("there is no invoice %q; 'tallybook invoice list' shows their numbers", name)}
	}
	return i, err
}

func listInvoices(ctx context.Context, c *config, f store.InvoiceFilter, out io.Writer) error {
	return withStore(ctx, c, func(st *store.Store) error {
		t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "NUMBER\tMONTH\tCUSTOMER\tSTATUS\tPAYMENT\tTOTAL\tID")
		for f.Limit = 1000; ; {
			list, err := st.Invoices(ctx, f)
			if err != nil {
				return err
			}
			for _, i := range list {
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s %s\t%s\n", orDash(i.Number), i.Month, i.Customer.Name, i.Status, orDash(i.Payment), i.Total, i.Currency, i.ID)
				f.After = i.ID
			}
			if len(list) < f.Limit {
				return t.Flush()
			}
		}
	})
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func proveCommand() *cobra.Command {
	var bundle string
	cmd := &cobra.Command{Use: "prove [INVOICE]", Short: "compute every line of an invoice again from the Parquet files; exit 1 at the first difference",
		Example: "  tallybook prove INV-000001\n  tallybook invoice bundle INV-000001 > inv1.json && tallybook prove --bundle inv1.json --archive ./archive",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && bundle == "" {
				return usageError{errors.New("prove needs the number or id of an invoice, or --bundle")}
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return prove(ctx, c, strings.Join(args, ""), bundle, cmd.OutOrStdout())
			})
		}}
	cmd.Flags().StringVar(&bundle, "bundle", "", "`file` of 'tallybook invoice bundle': no database is needed then")
	return cmd
}

func prove(ctx context.Context, c *config, name, bundle string, out io.Writer) error {
	if _, err := os.Stat(c.archiveURL()); err != nil && !strings.Contains(c.archiveURL(), "://") {
		return usageError{fmt.Errorf("no archive here: %w; name the folder with --archive or --data", err)}
	}
	ar, err := archive.Open(c.archiveURL())
	if err != nil {
		return usageError{err}
	}
	cfg := jobs.ProveConfig{Archive: ar, Say: func(line string) { fmt.Fprintln(out, line) }}
	if bundle != "" {
		if cfg.Bundle, err = readBundle(bundle, name); err != nil {
			return usageError{err}
		}
		return jobs.Prove(ctx, cfg)
	}
	if err := c.hasData(); err != nil {
		return usageError{fmt.Errorf("%w, or give a --bundle", err)}
	}
	st, err := store.Open(ctx, c.storeURL(), store.Options{Log: c.logger(), ReadOnly: true})
	if err != nil {
		return usageError{err}
	}
	defer st.Close()
	i, err := findInvoice(ctx, st, name)
	if err != nil {
		return err
	}
	return proveStored(ctx, st, ar, &i, cfg.Say)
}

// proveStored proves a document of the store, whose prices must be the catalog's.
func proveStored(ctx context.Context, st *store.Store, ar *archive.Archive, i *store.Invoice, say func(line string)) error {
	bundle, err := jobs.NewBundle(ctx, st, i)
	if err != nil {
		return err
	}
	return jobs.Prove(ctx, jobs.ProveConfig{Archive: ar, Bundle: bundle, Say: say, Price: func(version int64) (string, json.RawMessage, error) {
		p, err := st.PriceOf(ctx, version)
		return p.Model, p.Params, err
	}})
}

// readBundle reads a bundle; name, where it is not empty, is the document that
// it must be of.
func readBundle(path, name string) (*jobs.Bundle, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b jobs.Bundle
	var is struct{ ID, Number string }
	if err = json.Unmarshal(text, &b); err == nil {
		err = json.Unmarshal(b.Document, &is)
	}
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", path, err)
	}
	if name != "" && name != is.ID && name != is.Number {
		return nil, fmt.Errorf("bundle %s is of %s, not of %s", path, is.Number, name)
	}
	return &b, nil
}
