package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tallybook/query"
	"tallybook/store"
)

func catalogCommand() *cobra.Command {
	parent := &cobra.Command{Use: "catalog", Short: "routes, prices, customers and subscriptions as a YAML file", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	o := store.ApplyOptions{Actor: commandLine}
	apply := &cobra.Command{Use: "apply FILE", Short: "bring the catalog to what the file says, all of it or nothing; also beside a running process",
		Long: `The file has routes with their prices, and customers with their subscriptions, in
the words of the API; - reads it from the standard input. What is left out stays
as it is, so that to apply a file again changes nothing. Routes are told apart by
apiName, apiVersion and endpointName; customers by id, or account and customerName;
subscriptions by apiName, apiVersion and, where it is given, startsAt.
Prices are only added, and take effect in the future; one without effectiveFrom is
in force from now on, if another is. "unsubscribed: true" ends a subscription now,
endsAt in the future; "quota: null" takes a quota away.

  + is made    ~ is changed    - is ended`,
		Example: "  tallybook catalog apply catalog.yaml --dry-run\n  tallybook catalog export > catalog.yaml",
		Args:    oneArg, RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return applyCatalog(ctx, c, args[0], o, cmd.OutOrStdout())
			})
		}}
	apply.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what would change, and change nothing")
	apply.Flags().BoolVar(&o.Prune, "prune", false, "end subscriptions that the list of a customer in the file does not have")
	export := &cobra.Command{Use: "export", Short: "print the catalog as a file to apply", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return withConfig(cmd, func(ctx context.Context, c *config) error {
			return withStore(ctx, c, func(st *store.Store) error {
				return query.ExportCatalog(ctx, st, time.Now(), cmd.OutOrStdout())
			})
		})
	}}
	parent.AddCommand(apply, export)
	return parent
}

func applyCatalog(ctx context.Context, c *config, name string, o store.ApplyOptions, out io.Writer) error {
	file, err := readCatalog(name)
	if err != nil {
		return usageError{err}
	}
	return withNewStore(ctx, c, func(st *store.Store) error {
		done, err := st.ApplyCatalog(ctx, &file.Catalog, o)
		var field *store.FieldError
		if errors.As(err, &field) {
			return usageError{fmt.Errorf("%s: %w", name, file.Explain(err))}
		}
		if err != nil {
			return err
		}
		sayApplied(out, done, o.DryRun)
		for _, k := range done.Keys {
			fmt.Fprintf(os.Stderr, "apiKey of %s, shown this once: %s\n", k.Customer, k.Text)
		}
		return nil
	})
}

func sayApplied(out io.Writer, done *store.CatalogResult, dry bool) {
	for _, change := range done.Changes {
		fmt.Fprintln(out, change)
	}
	switch {
	case len(done.Changes) == 0:
		fmt.Fprintln(out, "nothing to change: the catalog is as the file says")
	case dry:
		fmt.Fprintln(out, "dry run: nothing was changed")
	}
	if o := done.Others; o.Routes+o.Customers+o.Subscriptions > 0 {
		fmt.Fprintf(out, "not in the file, and left as they are: %d routes, %d customers, %d subscriptions\n", o.Routes, o.Customers, o.Subscriptions)
	}
}

func readCatalog(name string) (*query.CatalogFile, error) {
	in := io.Reader(os.Stdin)
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	file, err := query.ReadCatalogFile(in)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}
