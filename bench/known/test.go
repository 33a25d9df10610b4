package known

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Test is a run of a test that breaks things, in a folder of its own.
type Test struct {
	Name string
	Seed uint64 // of what it does, which it names where it fails
	Dir  string // that its folder is made in; "": the system's for temporary ones
	Keep bool   // the folder stays where all is well too
}

// Run makes the folder, prints what the test has shown, and removes the folder
// where all is well. It returns the exit code: 0 no difference, 1 a difference, 2
// the test could not be run.
func (c Test) Run(ctx context.Context, r *Report, test func(ctx context.Context, work string) error) int {
	work, err := os.MkdirTemp(c.Dir, "tallybook-"+c.Name+"-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name, err)
		return 2
	}
	err = test(ctx, work)
	r.Print(os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: %v\n  seed %d; data and logs are in %s\n", c.Name, err, c.Seed, work)
		if ctx.Err() == nil && errors.As(err, new(Finding)) {
			return 1
		}
		return 2
	case len(r.Findings) > 0:
		fmt.Printf("DIFFERENCES: %d; seed %d; data and logs are in %s\n", len(r.Findings), c.Seed, work)
		return 1
	case c.Keep:
		fmt.Printf("good; data and logs are in %s\n", work)
		return 0
	}
	if err := os.RemoveAll(work); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", c.Name, err)
	}
	fmt.Println("good")
	return 0
}
