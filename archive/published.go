package archive

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sync/errgroup"

	"tallybook/schemas"
)

// EachPublished calls fn with the name of each published file of a dataset, by
// name, and the partition that its rows came from.
func (a *Archive) EachPublished(ctx context.Context, dataset schemas.Topic, fn func(name string, src schemas.Partition) error) error {
	err := a.bucket.List(ctx, string(dataset)+"/", "", func(name string, _ int64) error {
		if _, _, src, _, err := ParseFinal(name); err == nil {
			return fn(name, src)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list published files of %s: %w", dataset, err)
	}
	return nil
}

// PublishedFrom lists, by dataset and name, the published files whose rows came
// from a partition and begin at an offset or behind it.
func (a *Archive) PublishedFrom(ctx context.Context, src schemas.Partition, first int64) ([]string, error) {
	found := make([][]string, len(schemas.Topics))
	group, ctx := errgroup.WithContext(ctx)
	for i, dataset := range schemas.Topics {
		group.Go(func() (err error) {
			found[i], err = a.publishedFrom(ctx, dataset, src, first)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("list published files of %s/%d: %w", src.Topic, src.ID, err)
	}
	var names []string
	for _, of := range found {
		names = append(names, of...)
	}
	return names, nil
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

// publishedFrom begins a new listing behind each page of names, from where the
// next may be that is asked for: a date on which a live partition publishes has
// thousands of others until they are merged.
func (a *Archive) publishedFrom(ctx context.Context, dataset schemas.Topic, src schemas.Partition, first int64) (names []string, err error) {
	for after := ""; ; {
		seen := 0
		err := a.bucket.List(ctx, string(dataset)+"/", after, func(name string, _ int64) error {
			if _, _, from, _, err := ParseFinal(name); err == nil && from == src {
				if offset, err := FirstOffset(name); err == nil && offset >= first {
					names = append(names, name)
				}
			}
			if seen++; seen == listPage {
				after = behind(name, src, first)
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			return names, err
		}
	}
}

// behind is a name that everything follows which follows name and is of the
// partition from that offset on.
func behind(name string, src schemas.Partition, first int64) string {
	folder := path.Dir(name)
	partition := fmt.Sprintf("%s/%s-%d-", folder, src.Topic, src.ID)
	from := fmt.Sprintf("%s%020d", partition, first)
	switch {
	case name < from:
		return from
	case strings.HasPrefix(name, partition):
		return name
	}
	return folder + "0" // which follows a slash, and whatever is in the folder
}
