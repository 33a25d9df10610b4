package worker

import (
	"fmt"
	"strings"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// A record that makes two rows is one event, also where a row group ends
// between the two: a retraction must take both away.
func TestOriginalAcrossRowGroups(t *testing.T) {
	const envelope = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":"mandrill.webhook","data":`
	text := strings.Repeat("x", 61_000)
	var records []string
	for i := range 600 { // 72 MB in two rows each: more than two row groups
		records = append(records, envelope+fmt.Sprintf(`{"event":"inbound","ts":%d,"msg":{"email":"in@d.example","subject":"%s%d"}}}`, 1548115212+i, text, i))
	}
	b, _ := counted(t, schemas.Emails, records...)
	a := archive.New(archive.NewMem())
	day := archive.ByDay(&b.rows)[0]
	file, err := a.Stage(t.Context(), archive.StageFile{Rows: &b.rows, Day: day, Source: schemas.Partition{Topic: schemas.Emails}, Epoch: 1, Random: "x"})
	if err != nil {
		t.Fatal(err)
	}
	groups, split, last := 0, 0, ""
	err = a.Read(t.Context(), file.Staged, []string{"id"}, func(r *archive.Rows) error {
		if groups++; string(r.ID.At(0)) == last {
			split++
		}
		last = string(r.ID.At(r.Len() - 1))
		return nil
	})
	if err != nil || split == 0 {
		t.Fatalf("%d row groups, of which %d begin within an event (%v): the test needs one", groups, split, err)
	}
	for _, many := range []bool{false, true} { // asked for by id, and all rows looked through
		s := &search{p: &partition{Partition: schemas.Partition{Topic: schemas.Emails}, cfg: &Config{Archive: a}}, found: originals{}, wanted: map[string][]store.EventKey{}}
		for i := 0; i < b.rows.Len(); i += 2 {
			id, source := string(b.rows.ID.At(i)), b.rows.String(b.rows.Source[i])
			if many || len(s.wanted) < fewIDs && atGroupEnd(&b.rows, i) {
				s.wanted[id] = []store.EventKey{{Account: "acme", Source: source, ID: id}}
			}
		}
		asked := len(s.wanted)
		if err := s.file(t.Context(), &store.ArchiveFile{Name: file.Name, Staged: file.Staged}); err != nil {
			t.Fatal(err)
		}
		if len(s.found) != asked || len(s.wanted) != 0 {
			t.Errorf("many %v: asked for %d events, found %d", many, asked, len(s.found))
		}
		for key, o := range s.found {
			if len(o.rows) != 2 {
				t.Errorf("many %v: event %s has %d rows, want 2", many, key.ID, len(o.rows))
			}
		}
	}
}

// atGroupEnd is roughly so: 32 MiB of text end a row group.
func atGroupEnd(r *archive.Rows, i int) bool {
	before, size := 0, 0
	for k := range i + 2 {
		if k == i {
			before = size
		}
		size += len(r.ID.At(k)) + len(r.Data.At(k))
	}
	return before>>25 != size>>25
}
