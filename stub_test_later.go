package main

import (
	"context"
	"github.com/spf13/cobra"
)

func runDoctor(ctx context.Context, c *config) error { return nil }
func benchCommand() *cobra.Command                   { return &cobra.Command{Use: "bench"} }
