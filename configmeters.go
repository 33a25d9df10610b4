package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/knadh/koanf/v2"

	"tallybook/schemas"
)

// meterKey is the one key of the configuration file that is no flag: a list of
// declared meters, with the fields that POST /api/v1/meters takes.
const meterKey = "meters"

// takeMeters reads the declared meters and takes their key out of k.
func takeMeters(k *koanf.Koanf) ([]schemas.MeterDefinition, error) {
	if !k.Exists(meterKey) {
		return nil, nil
	}
	text, err := json.Marshal(k.Get(meterKey))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", meterKey, err)
	}
	k.Delete(meterKey)
	var meters []schemas.MeterDefinition
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&meters); err != nil {
		return nil, fmt.Errorf("%s must be a list of meters, each with slug, eventType, aggregation, valueProperty, groupBy, percentiles and description: %w", meterKey, err)
	}
	seen := map[string]bool{}
	for i := range meters {
		d := &meters[i]
		err := d.Check()
		if _, builtIn := schemas.MeterBySlug(d.Slug); err == nil && builtIn {
			err = errors.New("slug: a built-in meter has it")
		}
		if err == nil && seen[d.Slug] {
			err = errors.New("slug: it is there twice")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: number %d, %q: %w", meterKey, i+1, d.Slug, err)
		}
		seen[d.Slug] = true
	}
	if len(meters) > schemas.MaxMeters {
		return nil, fmt.Errorf("%s: at most %d meters may be declared", meterKey, schemas.MaxMeters)
	}
	return meters, nil
}
