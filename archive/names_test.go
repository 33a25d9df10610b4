package archive

import (
	"testing"

	"tallybook/schemas"
)

func TestFileName(t *testing.T) {
	src := schemas.Partition{Topic: schemas.Usage, ID: 0}
	final, staged := FileName(schemas.Usage, sampleDay, src, 7, "1a2b3c4d", 1234)
	if want := "usage/date=2026-01-01/usage-0-00000000000000001234-e7-1a2b3c4d.parquet"; final != want {
		t.Errorf("got %s, want %s", final, want)
	}
	if want := "_staging/usage-0-e7-1a2b3c4d-00000000000000001234-usage-2026-01-01.parquet"; staged != want {
		t.Errorf("got %s, want %s", staged, want)
	}
}

func TestParseNames(t *testing.T) {
	src := schemas.Partition{Topic: schemas.Emails, ID: 2147483647}
	final, staged := FileName(schemas.Errors, -719162, src, 9223372036854775807, "z0", 9223372036854775807)
	gotFinal, gotSrc, epoch, err := ParseStaged(staged)
	if err != nil || gotFinal != final || gotSrc != src || epoch != 9223372036854775807 {
		t.Errorf("%s: got %s, %v, %d, %v", staged, gotFinal, gotSrc, epoch, err)
	}
	dataset, day, gotSrc, epoch, err := ParseFinal(final)
	if err != nil || dataset != schemas.Errors || day != -719162 || gotSrc != src || epoch != 9223372036854775807 {
		t.Errorf("%s: got %s, %s, %v, %d, %v", final, dataset, day, gotSrc, epoch, err)
	}
	for _, name := range []string{"", "usage", final, staged[1:], staged + "x", "/" + staged,
		"_staging/usage-00-e7-1a-00000000000000001234-usage-2026-01-01.parquet",
		"_staging/usage-0-e7-1a-1234-usage-2026-01-01.parquet",
		"_staging/usage-0-e7--00000000000000001234-usage-2026-01-01.parquet",
		"_staging/usage-0-e7-1A-00000000000000001234-usage-2026-01-01.parquet",
		"_staging/other-0-e7-1a-00000000000000001234-usage-2026-01-01.parquet",
		"_staging/usage-0-e7-1a-00000000000000001234-usage-2026-02-30.parquet",
		"_staging/usage-2147483648-e7-1a-00000000000000001234-usage-2026-01-01.parquet",
		"_staging/usage-0-e9223372036854775808-1a-00000000000000001234-usage-2026-01-01.parquet",
		"_staging/usage-0-e7-1a-99999999999999999999-usage-2026-01-01.parquet",
		"_staging/x/usage-0-e7-1a-00000000000000001234-usage-2026-01-01.parquet",
	} {
		if final, _, _, err := ParseStaged(name); err == nil {
			t.Errorf("%q: got %s, want an error", name, final)
		}
	}
	for _, name := range []string{"", staged, "x/" + final, final + ".tmp", "usage/date=2026-01-01/manifest.json",
		"usage/date=2026-13-01/usage-0-00000000000000001234-e7-1a2b3c4d.parquet"} {
		if _, _, _, _, err := ParseFinal(name); err == nil {
			t.Errorf("%q: got no error", name)
		}
	}
}

// Whatever parses as a staged name is one that FileName makes.
func FuzzParseStaged(f *testing.F) {
	f.Add("_staging/usage-0-e7-1a2b3c4d-00000000000000001234-usage-2026-01-01.parquet")
	f.Add("_staging/emails-12-e0-0-09223372036854775807-errors-0001-01-01.parquet")
	f.Add("_staging/../usage-0-e7-1a-00000000000000001234-usage-2026-01-01.parquet")
	f.Fuzz(func(t *testing.T, name string) {
		final, src, epoch, err := ParseStaged(name)
		if err != nil {
			return
		}
		id, err := parseStaged(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := FileName(id.dataset, id.day, src, epoch, id.random, id.first); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
		if _, _, gotSrc, gotEpoch, err := ParseFinal(final); err != nil || gotSrc != src || gotEpoch != epoch {
			t.Errorf("%s: got %v, %d, %v, want %v, %d", final, gotSrc, gotEpoch, err, src, epoch)
		}
		if err := checkName(final); err != nil {
			t.Error(err)
		}
	})
}
