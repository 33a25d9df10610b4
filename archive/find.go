package archive

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
)

// Find calls fn with the rows of a file that have the id, with all columns: at
// most once for each row group, and not at all where there is none. Ids are
// unique within account and source only, so that fn compares these. Of a row
// group without the id only the bloom filter is read, but for one in a hundred,
// and where the bounds exclude the id not even that. See Read for what fn may
// do with Rows.
func (a *Archive) Find(ctx context.Context, name, id string, fn func(*Rows) error) error {
	return a.withFile(ctx, name, func(r *reader) error {
		return r.scan(ctx, &filter{columns: Columns(r.footer.dataset), from: math.MinInt64, to: math.MaxInt64, id: &id}, fn)
	})
}

// mayHave is false where bounds or bloom filter say that no row has the id.
func (r *reader) mayHave(g *group, id string) (ok bool, err error) {
	index, err := findColumn(r.footer.dataset, "id")
	if err != nil {
		return false, err
	}
	s := g.chunks[index].stats
	if s == nil {
		return true, nil
	}
	if s.bounded && (id < s.low || id > s.high) {
		return false, nil
	}
	if s.filter.length == 0 {
		return true, nil
	}
	b, err := r.section(s.filter)
	if err == nil {
		ok, err = checkFilter(b, id)
	}
	if err != nil {
		return false, fmt.Errorf("bloom filter: %w", err)
	}
	return ok, nil
}

// checkFilter asks a bloom filter behind its header.
func checkFilter(b []byte, id string) (ok bool, err error) {
	defer recoverDamage(&err)
	in, size := compact{b: b}, int64(-1)
	for field, k := in.field(0); k != thriftStop; field, k = in.field(field) {
		if field == 1 {
			size = in.integer(k)
		} else {
			in.skip(k)
		}
	}
	bits := in.rest()
	if size != int64(len(bits)) || size == 0 || size%bloom.BlockSize != 0 {
		return false, fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, len(bits), size)
	}
	return bloom.CheckSplitBlock(bytes.NewReader(bits), size, xxhash.Sum64([]byte(id)))
}
