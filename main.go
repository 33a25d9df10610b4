// Command tallybook meters usage, errors and e-mail from Kafka: rollups,
// a Parquet archive, and answers about both. See README.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"tallybook/bench"
)

var version = "dev" // set by the linker

func main() {
	ballast := tuneRuntime()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tallybook:", err)
	}
	runtime.KeepAlive(ballast)
	os.Exit(exitCode(err))
}

// tuneRuntime sets what the environment leaves open. The ballast is to be kept; it
// is never touched, so that it takes addresses and no memory.
func tuneRuntime() (ballast []byte) {
	if os.Getenv("GOGC") == "" {
		// Most of the memory are columns and tables without pointers, which cost
		// the collector nothing: it may run often and keep little. A small heap it
		// would collect dozens of times a second: access checks took twice the CPU.
		// The ballast makes it wait for 40 MB of garbage.
		debug.SetGCPercent(40)
		if os.Getenv("GOMEMLIMIT") == "" { // which counts addresses
			ballast = make([]byte, 100<<20)
		}
	}
	if os.Getenv("GOMAXPROCS") == "" {
		// With a scheduler's slot a core, an access check that comes while all of
		// them fold and write waits until the runtime takes a slot from one: 10 ms.
		// With some more, the kernel gives it a core at once.
		cores := runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(cores + min(cores, 4))
	}
	return ballast
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "tallybook",
		Short:         "Metering of API usage, errors and e-mail, from Kafka to the invoice",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see 'tallybook --help'", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	addFlags(root.PersistentFlags())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see '%s --help'", err, cmd.CommandPath())}
	})
	root.AddCommand(
		command("run", "everything in one process: broker, collector, workers, jobs, queries", runAll),
		command("pipeline", "collector and workers only, on an external Kafka", runPipeline),
		command("query", "HTTP answers only", runQuery),
		command("jobs", "schedules only: days and months, invoices, alerts", runJobs),
		command("verify", "compare the rollups with a fold of the archive; exit 1 where they differ", runVerify),
		command("balance", "check that the ledger joins, and agrees with archive and errors; exit 1 if not", runBalance),
		command("ready", "ask the process at --http whether it is ready; exit 1 if not", runReady),
		command("doctor", "say what is wrong with this set-up", runDoctor),
		demoCommand(), importCommand(), generateCommand(), benchCommand(), keysCommand(), jobCommand(), errorsCommand(), catalogCommand(), invoiceCommand(), proveCommand(), rateCommand(), topicsCommand(),
		eraseCommand(), backupCommand(),
	)
	return root
}

// command is a subcommand without arguments or flags of its own.
func command(name, short string, run func(ctx context.Context, c *config) error) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return withConfig(cmd, run)
	}}
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args)}
	}
	return nil
}

func withConfig(cmd *cobra.Command, run func(ctx context.Context, c *config) error) error {
	c, err := loadConfig(cmd.Root().PersistentFlags())
	if err != nil {
		return usageError{err}
	}
	if c.CPUProfile != "" {
		stop, err := bench.CPUProfile(c.CPUProfile)
		if err != nil {
			return usageError{fmt.Errorf("--cpu-profile: %w", err)}
		}
		defer stop()
	}
	return run(cmd.Context(), c)
}
