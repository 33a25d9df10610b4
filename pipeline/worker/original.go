package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// slowSearch is worth a line in the log: many small files were looked into.
const slowSearch = 5 * time.Second

// findOriginals looks the events up that the corrections name: in the store
// where they were corrected before, else in this batch, else in the archive.
// Everything below the batch is in one of these, since nothing is on its way.
// It tries until hard ends: a store or an archive that is away is waited for.
func (p *partition) findOriginals(hard context.Context, corrections []pending) (found originals, err error) {
	began := p.cfg.Now()
	err = p.await(hard, "originals of corrections", func() (err error) {
		found, err = p.lookUp(hard, corrections)
		return err
	})
	if took := p.cfg.Now().Sub(began); err == nil && took > slowSearch {
		p.cfg.Log.Warn("a search for originals of corrections held the partition up", "topic", p.Topic, "partition", p.ID,
			"corrections", len(corrections), "took", took)
	}
	return found, err
}

func (p *partition) lookUp(ctx context.Context, corrections []pending) (originals, error) {
	s := &search{p: p, found: originals{}, wanted: map[string][]store.EventKey{}}
	var keys []store.EventKey
	asked := map[store.EventKey]bool{}
	for i := range corrections {
		if key := corrections[i].key; !asked[key] {
			asked[key] = true
			keys = append(keys, key)
		}
	}
	err := p.cfg.Store.View(ctx, func(v *store.View) error {
		corrected, err := v.CorrectedEvents(p.Topic, keys)
		for key, e := range corrected {
			if err == nil {
				o := &original{revision: e.Revision, retracted: e.Retracted, offset: -1}
				if !e.Retracted {
					err = json.Unmarshal(e.Rows, &o.rows)
				}
				s.found[key] = o
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if s.found[key] == nil {
			s.wanted[key.ID] = append(s.wanted[key.ID], key)
		}
	}
	p.batch.rows.Dict = p.intern.strings
	here := sighted{}
	s.look(&p.batch.rows, here)
	s.take(here, true)
	return s.found, s.archive(ctx)
}

// search looks for originals by their ids.
type search struct {
	p      *partition
	found  originals
	wanted map[string][]store.EventKey // by id, what is not found yet
}

// sighted are the events that are wanted among the rows of a batch, or of a
// file: the rows of one record may lie in two of its row groups.
type sighted map[store.EventKey]*sighting

type sighting struct {
	offset int64
	rows   []json.RawMessage
}

// look looks at rows. Those of one record are one event; of an event that was
// counted twice, its repeat came after the dedupe window, the later one is taken.
func (s *search) look(r *archive.Rows, here sighted) {
	for i := range r.Len() {
		keys := s.wanted[string(r.ID.At(i))]
		if len(keys) == 0 || isCorrection(r, i) || r.String(r.Type[i]) == schemas.TypeInternalError {
			continue
		}
		for _, key := range keys {
			if key.Account != r.String(r.Account[i]) || key.Source != r.String(r.Source[i]) {
				continue
			}
			e := here[key]
			if e == nil || r.Offset[i] > e.offset {
				e = &sighting{offset: r.Offset[i]}
				here[key] = e
			}
			if r.Offset[i] == e.offset {
				e.rows = append(e.rows, r.Image(i))
			}
		}
	}
}

// take keeps what was found when all rows of a batch or file were looked at.
func (s *search) take(here sighted, inBatch bool) {
	for key, e := range here {
		o := &original{offset: -1, rows: e.rows}
		if inBatch {
			o.offset = e.offset
		}
		s.found[key] = o
		s.drop(key)
	}
}

func isCorrection(r *archive.Rows, i int) bool { return i < len(r.TargetID) && r.TargetID[i] != 0 }

func (s *search) drop(key store.EventKey) {
	var rest []store.EventKey
	for _, k := range s.wanted[key.ID] {
		if k != key {
			rest = append(rest, k)
		}
	}
	if s.wanted[key.ID] = rest; rest == nil {
		delete(s.wanted, key.ID)
	}
}

// archive goes through the files of the topic's dataset, latest dates first:
// this partition's, where a record with the right key is, then those of the
// others, for records that were keyed otherwise.
func (s *search) archive(ctx context.Context) error {
	if len(s.wanted) == 0 {
		return nil
	}
	var days []schemas.Day
	err := s.p.cfg.Store.View(ctx, func(v *store.View) (err error) {
		days, err = v.Days(s.p.Topic)
		return err
	})
	if err != nil {
		return err
	}
	for _, own := range []bool{true, false} {
		for d := len(days) - 1; d >= 0 && len(s.wanted) > 0; d-- {
			if err := s.day(ctx, days[d], own); err != nil {
				return err
			}
		}
	}
	return nil
}

// movedTries is how often a date's files are listed again because one was moved
// while it was looked for.
const movedTries = 5

func (s *search) day(ctx context.Context, day schemas.Day, own bool) error {
	var err error
	for range movedTries {
		if err = s.files(ctx, day, own); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return err
}

func (s *search) files(ctx context.Context, day schemas.Day, own bool) error {
	var files []store.ArchiveFile
	filter := store.FileFilter{Dataset: s.p.Topic, Day: &day}
	if own {
		filter.Partition = &s.p.Partition
	}
	err := s.p.cfg.Store.View(ctx, func(v *store.View) (err error) {
		files, err = v.Files(filter)
		return err
	})
	if err != nil {
		return err
	}
	for i := len(files) - 1; i >= 0 && len(s.wanted) > 0; i-- { // by name, so newest offsets first
		f := &files[i]
		if f.Partition.Topic != s.p.Topic || !own && f.Partition == s.p.Partition {
			continue // refused records of another topic; looked at already
		}
		if err := s.file(ctx, f); err != nil {
			return fmt.Errorf("look for originals: %w", err)
		}
	}
	return nil
}

// file looks into one file, which is at its place or, committed by a worker
// that has yet to publish it, where it was staged.
func (s *search) file(ctx context.Context, f *store.ArchiveFile) error {
	err := archive.AnyPlace(f.Name, f.Staged, func(name string) error { return s.read(ctx, name) })
	if errors.Is(err, archive.ErrDamaged) {
		// What stands in it cannot be corrected before it is restored; what does
		// not must not wait for that.
		s.p.cfg.Log.Error("a damaged file was passed over in the search for originals", "file", f.Name, "error", err)
		return nil
	}
	return err
}

// fewIDs is up to how many ids are asked for one by one: a bloom filter then
// says no to nearly all files. Of more ids some are in nearly every filter by chance.
const fewIDs = 8

func (s *search) read(ctx context.Context, name string) error {
	hits := make([]string, 0, fewIDs)
	if len(s.wanted) <= fewIDs {
		for id := range s.wanted {
			hits = append(hits, id)
		}
	} else {
		err := s.p.cfg.Archive.Read(ctx, name, []string{"id"}, func(r *archive.Rows) error {
			for i := range len(r.ID.Ends) {
				if id := r.ID.At(i); s.wanted[string(id)] != nil {
					hits = append(hits, string(id))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	here := sighted{}
	look := func(r *archive.Rows) error {
		s.look(r, here)
		return nil
	}
	if len(hits) > fewIDs {
		if err := s.p.cfg.Archive.Read(ctx, name, archive.Columns(s.p.Topic), look); err != nil {
			return err
		}
	} else {
		slices.Sort(hits) // an id has a place for each of its rows
		for _, id := range slices.Compact(hits) {
			if err := s.p.cfg.Archive.Find(ctx, name, id, look); err != nil {
				return err
			}
		}
	}
	s.take(here, false)
	return nil
}
