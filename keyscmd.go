package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tallybook/query"
	"tallybook/store"
)

// commandLine is the actor of changes that are made beside the API.
const commandLine = "command line"

func keysCommand() *cobra.Command {
	keys := &cobra.Command{Use: "keys", Short: "make, list and revoke keys", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	var k store.Key
	var role string
	create := &cobra.Command{Use: "create", Short: "make a key and print it, this once", Args: noArgs,
		Example: "  tallybook keys create --role account --account acme --name dashboard",
		RunE: func(cmd *cobra.Command, _ []string) error {
			k.Role = store.Role(role)
			return withConfig(cmd, func(ctx context.Context, c *config) error { return createKey(ctx, c, k) })
		}}
	create.Flags().StringVar(&role, "role", "", "`admin|account|ingest`")
	create.Flags().StringVar(&k.Account, "account", "", "`account` that the key reads or writes; * for an ingest key of any")
	create.Flags().StringVar(&k.Name, "name", "", "what it is for")
	create.Flags().Float64Var(&k.Rate, "rate", 0, "requests a second; 0: the installation's --rate-limit")
	var account string
	list := &cobra.Command{Use: "list", Short: "list keys, without their text", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return withConfig(cmd, func(ctx context.Context, c *config) error { return listKeys(ctx, c, account) })
	}}
	list.Flags().StringVar(&account, "account", "", "only keys of this `account`")
	revoke := &cobra.Command{Use: "revoke ID", Short: "end a key; it works for up to a second longer", Args: oneArg, RunE: func(cmd *cobra.Command, args []string) error {
		return withConfig(cmd, func(ctx context.Context, c *config) error {
			return withStore(ctx, c, func(st *store.Store) error { return st.RevokeKey(ctx, commandLine, "", args[0]) })
		})
	}}
	keys.AddCommand(create, list, revoke)
	return keys
}

func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one argument, got %q; see '%s --help'", cmd.CommandPath(), args, cmd.CommandPath())}
	}
	return nil
}

// withStore opens the store of the data folder for a command that may run beside
// the process that serves it.
func withStore(ctx context.Context, c *config, use func(*store.Store) error) error {
	if err := c.hasData(); err != nil {
		return err
	}
	return withNewStore(ctx, c, use)
}

// withNewStore also makes the store, for what may come before the first start,
// and says so: a key that no process knows is of no use.
func withNewStore(ctx context.Context, c *config, use func(*store.Store) error) error {
	if c.hasData() != nil {
		fmt.Fprintf(os.Stderr, "a new data folder is made, %s; name another with --data\n", c.Data)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return usageError{fmt.Errorf("data folder: %w", err)}
	}
	st, err := store.Open(ctx, c.storeURL(), store.Options{Log: c.logger()})
	if err != nil {
		return usageError{err}
	}
	defer st.Close()
	return use(st)
}

func createKey(ctx context.Context, c *config, k store.Key) error {
	if err := query.CheckKey(k); err != nil {
		return usageError{err}
	}
	return withNewStore(ctx, c, func(st *store.Store) error {
		text := store.NewKeyText()
		made, err := st.CreateKey(ctx, commandLine, text, k)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "key %s, shown this once:\n", made.ID)
		fmt.Println(text)
		return nil
	})
}

func listKeys(ctx context.Context, c *config, account string) error {
	return withStore(ctx, c, func(st *store.Store) error {
		out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "ID\tROLE\tACCOUNT\tNAME\tMADE\tREVOKED")
		for after := ""; ; {
			keys, err := st.Keys(ctx, account, after, 1000)
			if err != nil {
				return err
			}
			for _, k := range keys {
				revoked := "-"
				if !k.RevokedAt.IsZero() {
					revoked = k.RevokedAt.Format(time.DateTime)
				}
				fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, k.Account, k.Name, k.CreatedAt.Format(time.DateTime), revoked)
				after = k.ID
			}
			if len(keys) < 1000 {
				return out.Flush()
			}
		}
	})
}
