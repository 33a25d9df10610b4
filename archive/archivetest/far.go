//go:build postgres

package archivetest

import (
	"testing"

	"tallybook/archive"
	"tallybook/archive/s3test"
)

// Bucket is empty, and gone after the test.
func Bucket(t testing.TB) *archive.Faulty {
	t.Helper()
	b, err := archive.OpenBucket(s3test.New(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	return &archive.Faulty{Bucket: b}
}
