package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// lease takes the lease on a job, as if the one before had ended.
func (r *rig) lease(job string) store.Lease {
	r.t.Helper()
	return leaseOf(r.t, r.store, job)
}

func leaseOf(t testing.TB, st *store.Store, job string) store.Lease {
	t.Helper()
	l, err := st.TakeLease(t.Context(), job, "test", time.Time{}, time.Minute)
	if errors.Is(err, store.ErrLeaseHeld) {
		states, listErr := st.JobStates(t.Context(), 1)
		for _, j := range states {
			if j.Name == job {
				err = errors.Join(listErr, st.EndLease(t.Context(), store.Lease{Job: job, Token: j.Runs[0].Number}, nil))
			}
		}
		if err == nil {
			l, err = st.TakeLease(t.Context(), job, "test", time.Time{}, time.Minute)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// compact runs the job as of a time; what was replaced may be deleted at once
// where keep is 0.
func (r *rig) compact(now string, keep time.Duration) error {
	r.t.Helper()
	return Compact(r.t.Context(), CompactConfig{Store: r.store, Archive: r.archive, Lease: r.lease(compactJob),
		Now: time.UnixMicro(micros(now)), After: DefaultCompactAfter, Keep: keep})
}

// rowsOf is every row of the live files, all columns, in order.
func (r *rig) allRows() (rows []string) {
	r.t.Helper()
	for _, f := range r.files() {
		err := withFile(&f, func(name string) error {
			return r.archive.Read(r.t.Context(), name, archive.Columns(f.Dataset), func(x *archive.Rows) error {
				for i := range x.Len() {
					rows = append(rows, fmt.Sprintf("%s/%d %d/%d %s %s %s %d %s %d %s", f.Partition.Topic, x.Partition, x.Offset[i], x.Row[i],
						x.ID.At(i), x.String(x.Source[i]), x.String(x.TargetID[i]), x.Sign[i], f.Day, x.LogTime[i], x.Image(i)))
				}
				return nil
			})
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	slices.Sort(rows)
	return rows
}

func (r *rig) files() (files []store.ArchiveFile) {
	r.t.Helper()
	err := r.store.View(r.t.Context(), func(v *store.View) (err error) {
		files, err = v.Files(store.FileFilter{})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return files
}

// names are those of the bucket's objects with a prefix.
func (r *rig) names(prefix string) (names []string) {
	r.t.Helper()
	err := r.bucket.List(r.t.Context(), prefix, "", func(name string, _ int64) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

// sound checks what holds at all times: rollups and ledger agree with the files.
func (r *rig) sound() {
	r.t.Helper()
	v, err := Verify(r.t.Context(), VerifyConfig{Store: r.store, Archive: r.archive, Hashes: true})
	if err != nil || !v.OK() {
		r.t.Fatalf("verify: %v\n%s", err, v)
	}
	b, err := Balance(r.t.Context(), BalanceConfig{Store: r.store, Archive: r.archive})
	if err != nil || !b.OK() {
		r.t.Fatalf("balance: %v\n%s", err, b)
	}
}

// published are the names of published Parquet files.
func (r *rig) published() (names []string) {
	for _, dataset := range schemas.Topics {
		for _, name := range r.names(string(dataset) + "/") {
			if strings.HasSuffix(name, ".parquet") {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestCompact(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	before, files := r.allRows(), len(r.files())
	if err := r.compact("2026-01-03T01:59:59Z", time.Hour); err != nil { // the second date is not closed for long enough
		t.Fatal(err)
	}
	for _, f := range r.files() {
		if second := f.Day.String() == "2026-01-02"; archive.IsMerged(f.Name) == second {
			t.Errorf("%s: merged although its date is open, or not merged", f.Name)
		}
	}
	if err := r.compact("2026-01-03T02:00:00Z", time.Hour); err != nil {
		t.Fatal(err)
	}
	r.sound()
	groups := map[string]int{}
	for _, f := range r.files() {
		groups[fmt.Sprint(f.Dataset, f.Day, f.Partition)]++
	}
	for group, n := range groups {
		if n != 1 {
			t.Errorf("%s has %d files", group, n)
		}
	}
	if got := r.allRows(); !slices.Equal(got, before) {
		t.Errorf("got rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(before, "\n"))
	}
	if got, want := len(r.published()), files+len(groups); got != want {
		t.Errorf("got %d published files, want the %d that were replaced for an hour more, and %d", got, files, len(groups))
	}
	if err := r.compact("2026-01-03T03:00:00Z", time.Hour); err != nil {
		t.Fatal(err)
	}
	if got := r.published(); len(got) != len(groups) {
		t.Errorf("an hour later got %d published files, want %d: %v", len(got), len(groups), got)
	}
	// Late events are compacted with what is there.
	r.fill()
	before = r.allRows()
	if err := r.compact("2026-01-04T00:00:00Z", 0); err != nil {
		t.Fatal(err)
	}
	r.sound()
	if got := r.allRows(); !slices.Equal(got, before) || len(r.published()) != len(groups) || len(r.names("_staging/")) != 0 {
		t.Errorf("late events: got %d rows in %d files, want %d in %d; staged: %v", len(got), len(r.published()), len(before), len(groups), r.names("_staging/"))
	}
	// A file that was written a moment ago is left alone.
	r.closedAt = "2026-01-04T00:00:00Z"
	r.fill()
	written := len(r.files())
	if err := r.compact("2026-01-04T01:59:59Z", 0); err != nil || len(r.files()) != written {
		t.Errorf("got %d files, %v, want the %d that were written", len(r.files()), err, written)
	}
	if err := r.compact("2026-01-04T02:00:00Z", 0); err != nil || len(r.files()) != len(groups) {
		t.Errorf("got %d files, %v, want %d", len(r.files()), err, len(groups))
	}
	// Nothing is left to do.
	was := r.published()
	if err := r.compact("2026-01-04T00:00:00Z", 0); err != nil || !slices.Equal(r.published(), was) {
		t.Errorf("got %v, %v, want %v", r.published(), err, was)
	}
}

var errFault = errors.New("fault")

// Each step of a swap fails before or behind what it does, or the process dies
// there: at all times every row is there once, and the next run finishes.
func TestCompactFaults(t *testing.T) {
	for _, step := range []string{"store swap", "store retire", "store add", "bucket put", "bucket open", "bucket list", "bucket move", "bucket delete"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied %t", step, applied), func(t *testing.T) { compactFault(t, step, applied) })
		}
	}
}

func compactFault(t *testing.T, step string, applied bool) {
	r := newRig(t)
	r.fill()
	r.fill()
	before, hits := r.allRows(), 0
	fault := func(at string) (error, error) {
		if at != step {
			return nil, nil
		}
		hits++
		if applied {
			return nil, errFault
		}
		return errFault, nil
	}
	st, err := store.Open(t.Context(), r.path, store.Options{Fault: func(at string) (error, error) { return fault("store " + at) }})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	now := time.UnixMicro(micros("2026-01-10T00:00:00Z"))
	r.bucket.Fault = func(op, name string) (error, error) { return fault("bucket " + op) }
	err = Compact(t.Context(), CompactConfig{Store: st, Archive: r.archive, Lease: leaseOf(t, st, compactJob), Now: now})
	if hits == 0 || !errors.Is(err, errFault) {
		t.Fatalf("got %v after %d faults", err, hits)
	}
	r.bucket.Fault = nil
	if got := r.allRows(); !slices.Equal(got, before) {
		t.Fatalf("behind the fault got %d rows, want %d", len(got), len(before))
	}
	r.sound()
	if err := r.compact("2026-01-10T00:00:00Z", 0); err != nil {
		t.Fatal(err)
	}
	r.sound()
	if got := r.allRows(); !slices.Equal(got, before) {
		t.Fatalf("behind the next run got %d rows, want %d", len(got), len(before))
	}
	var live []string
	for _, f := range r.files() {
		live = append(live, f.Name)
	}
	slices.Sort(live)
	if got := r.published(); !slices.Equal(got, live) || len(r.names("_staging/"))+len(r.names("_quarantine/")) != 0 {
		t.Errorf("got files %v, want %v; staged %v", got, live, r.names("_staging/"))
	}
}

// One that was stopped past its lease and woke up changes nothing.
func TestCompactPastItsLease(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	before := r.allRows()
	old := r.lease(compactJob)
	var now []string
	r.bucket.Fault = func(op, name string) (error, error) {
		if op == "put" && now == nil { // it sleeps here, with its file about to be staged
			r.bucket.Fault = nil
			if err := r.compact("2026-01-10T00:00:00Z", time.Hour); err != nil {
				t.Error(err)
			}
			for _, f := range r.files() {
				now = append(now, f.Name)
			}
		}
		return nil, nil
	}
	err := Compact(t.Context(), CompactConfig{Store: r.store, Archive: r.archive, Lease: old, Now: time.UnixMicro(micros("2026-01-10T00:00:00Z"))})
	if !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("got %v, want a lost lease", err)
	}
	var got []string
	for _, f := range r.files() {
		got = append(got, f.Name)
	}
	if !slices.Equal(got, now) || !slices.Equal(r.allRows(), before) || len(r.names("_staging/")) != 0 {
		t.Errorf("got %v, want %v; staged: %v", got, now, r.names("_staging/"))
	}
	r.sound()
}

// A file that is not what the store says is not merged, and the others are.
func TestCompactLeavesDamagedFiles(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	damaged := r.files()[0]
	r.sql(`UPDATE archive_files SET sha256 = ? WHERE name = ?`, make([]byte, 32), damaged.Name)
	if err := r.compact("2026-01-10T00:00:00Z", 0); !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), damaged.Name) {
		t.Errorf("got %v", err)
	}
	merged := 0
	for _, f := range r.files() {
		if archive.IsMerged(f.Name) {
			merged++
		}
	}
	if there, err := r.archive.Exists(t.Context(), damaged.Name); !there || err != nil || merged == 0 {
		t.Errorf("got %t, %v, %d merged", there, err, merged)
	}
}

// The store was restored from a copy of before the swap: what was merged since is
// set aside, and nothing is there twice.
func TestCompactRestoredStore(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	before := r.allRows()
	if err := r.compact("2026-01-10T00:00:00Z", time.Hour); err != nil {
		t.Fatal(err)
	}
	r.sql(`DELETE FROM archive_files WHERE retired_at IS NULL AND name LIKE '%-c1-%'`)
	r.sql(`UPDATE archive_files SET retired_at = NULL, delete_at = NULL`)
	if err := r.compact("2026-01-10T00:10:00Z", 0); err != nil {
		t.Fatal(err)
	}
	r.sound()
	if got := r.allRows(); !slices.Equal(got, before) || len(r.names("_quarantine/")) == 0 {
		t.Errorf("got %d rows, want %d; in quarantine: %v", len(got), len(before), r.names("_quarantine/"))
	}
}

// manifests reads those that there are.
func (r *rig) manifests() map[string]*archive.Manifest {
	r.t.Helper()
	all := map[string]*archive.Manifest{}
	for _, f := range r.files() {
		m, err := r.archive.ReadManifest(r.t.Context(), f.Dataset, f.Day)
		if err != nil {
			r.t.Fatal(err)
		}
		all[archive.ManifestName(f.Dataset, f.Day)] = m
	}
	return all
}

// A date's manifest names its live files and no others, while the ones that were
// replaced are still beside them, and also of an open date.
func TestManifests(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	if err := r.compact("2026-01-03T01:00:00Z", time.Hour); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		want := map[string][]string{}
		rows := map[string]int64{}
		for _, f := range r.files() {
			name := archive.ManifestName(f.Dataset, f.Day)
			want[name] = append(want[name], fmt.Sprintf("%s %d %x %d-%d", strings.TrimPrefix(f.Name, strings.TrimSuffix(name, "manifest.json")), f.Rows, f.SHA256, f.First, f.Last))
			rows[name] += f.Rows
		}
		for name, m := range r.manifests() {
			var got []string
			for _, f := range m.Files {
				got = append(got, fmt.Sprintf("%s %d %s %d-%d", f.Name, f.Rows, f.SHA256, f.FirstOffset, f.LastOffset))
			}
			if !slices.Equal(got, want[name]) || m.Rows != rows[name] || m.Positions["usage/0"] == 0 {
				t.Errorf("%s: got %v, %d rows, positions %v; want %v, %d rows", name, got, m.Rows, m.Positions, want[name], rows[name])
			}
		}
	}
	check()
	r.fill() // newer files: the manifests are older, and right
	r.sound()
	if err := r.compact("2026-01-04T00:00:00Z", time.Hour); err != nil {
		t.Fatal(err)
	}
	check()
	r.sound()
	// What is wrong with a manifest is found.
	day := r.files()[0].Day
	m, err := r.archive.ReadManifest(t.Context(), schemas.Usage, day)
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*archive.Manifest){
		"without a file":      func(m *archive.Manifest) { m.Files = nil },
		"another's hash":      func(m *archive.Manifest) { m.Files[0].SHA256 = "00" },
		"a file that is gone": func(m *archive.Manifest) { m.Files[0].Name = "usage-0-00000000000000000000-e9-x.parquet" },
		"of no format":        func(m *archive.Manifest) { m.Format = "" },
	} {
		bad := *m
		bad.Files = slices.Clone(m.Files)
		change(&bad)
		if err := r.archive.WriteManifest(t.Context(), day, &bad); err != nil {
			t.Fatal(err)
		}
		report, err := Verify(t.Context(), VerifyConfig{Store: r.store, Archive: r.archive})
		if err != nil || !strings.Contains(report.String(), "manifest: usage/date=") {
			t.Errorf("%s: got %v\n%s", what, err, report)
		}
	}
}
