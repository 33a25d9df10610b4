//go:build !postgres

package archivetest

import (
	"testing"

	"tallybook/archive"
)

// Bucket is empty, and gone after the test.
func Bucket(testing.TB) *archive.Faulty { return &archive.Faulty{Bucket: archive.NewMem()} }
