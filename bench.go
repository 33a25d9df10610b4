package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"tallybook/bench"
)

func benchCommand() *cobra.Command {
	cfg := bench.Config{Out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "measure this machine: pipeline, collector, freshness, restart, questions; takes minutes and gigabytes",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, part := range cfg.Only {
				if !slices.Contains(bench.Parts, part) {
					return usageError{fmt.Errorf("--only %q: known are %v", part, bench.Parts)}
				}
			}
			if cfg.Events < 1 || cfg.Runs < 1 {
				return usageError{fmt.Errorf("--events and --runs must be at least 1")}
			}
			return withConfig(cmd, func(ctx context.Context, _ *config) (err error) {
				if cfg.Binary, err = os.Executable(); err != nil {
					return err
				}
				return bench.Run(ctx, cfg)
			})
		},
	}
	f := cmd.Flags()
	f.Int64Var(&cfg.Events, "events", 4_000_000, "events of each load of the pipeline")
	f.IntVar(&cfg.Runs, "runs", 3, "runs of each load; the median counts")
	f.StringSliceVar(&cfg.Only, "only", nil, "parts to run: dense, wide, collector, freshness, restart, query, validate")
	f.StringVar(&cfg.Python, "python", "", "Python with the duckdb package, for the comparison")
	f.StringVar(&cfg.Dir, "dir", "", "folder for the data of the runs (default: the system's for temporary files)")
	f.StringVar(&cfg.Profile, "profile", "", "file for a CPU profile of the last pipeline run; with query the beginning of the files, one for each question")
	return cmd
}
