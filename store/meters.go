package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tallybook/schemas"
)

var (
	// ErrMeterExists: the slug is taken.
	ErrMeterExists = errors.New("there is a meter of that slug")
	// ErrMeterBuiltIn: the slug is that of a built-in meter.
	ErrMeterBuiltIn = errors.New("the meter is built in")
	// ErrMeterConfigured: the meter is declared in the configuration, and changed there.
	ErrMeterConfigured = errors.New("the meter is declared in the configuration")
	// ErrTooManyMeters: schemas.MaxMeters are declared.
	ErrTooManyMeters = fmt.Errorf("at most %d meters may be declared", schemas.MaxMeters)
)

// MeterID is one version of a declared meter.
type MeterID struct {
	Slug    string
	Version int
}

// MeterIDOf is a declared meter's.
func MeterIDOf(m *schemas.Meter) MeterID { return MeterID{m.Slug, m.Version} }

// MeterOrigin says who declared a meter.
type MeterOrigin string

const (
	MeterFromAPI    MeterOrigin = "api"
	MeterFromConfig MeterOrigin = "config"
)

// DeclaredMeter is a meter that was declared and is not deleted.
type DeclaredMeter struct {
	schemas.Meter
	Origin    MeterOrigin
	CreatedAt time.Time
	// Complete: the rollups of its family hold every event. Until then the
	// archive alone can answer.
	Complete bool
}

const meterColumns = `version, definition, origin, created_at, complete_at IS NOT NULL`

func scanMeter(row scanner) (m DeclaredMeter, err error) {
	var version int
	var definition []byte
	var created int64
	if err := row.Scan(&version, &definition, &m.Origin, &created, &m.Complete); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrNotFound
		}
		return m, err
	}
	var d schemas.MeterDefinition
	if err := json.Unmarshal(definition, &d); err != nil {
		return m, fmt.Errorf("definition of a meter: %w", err)
	}
	m.CreatedAt = time.UnixMicro(created).UTC()
	if m.Meter, err = schemas.NewMeter(d, version); err != nil {
		return m, fmt.Errorf("meter %s: %w", d.Slug, err)
	}
	return m, nil
}

// Meters are the declared meters, sorted by slug.
func (v *View) Meters() ([]DeclaredMeter, error) {
	return collect(v, scanMeter, `SELECT `+meterColumns+` FROM meters WHERE deleted_at IS NULL ORDER BY slug`)
}

// Meter is the declared meter of a slug; ErrNotFound where there is none.
func (v *View) Meter(slug string) (DeclaredMeter, error) {
	m, err := scanMeter(v.tx.QueryRowContext(v.ctx, activeMeter, slug))
	return m, engineError(err)
}

const activeMeter = `SELECT ` + meterColumns + ` FROM meters WHERE slug = ? AND deleted_at IS NULL`

// MetersGeneration is a number that every change of the list of meters raises.
func (v *View) MetersGeneration() (generation int64, err error) {
	err = v.tx.QueryRowContext(v.ctx, `SELECT generation FROM meter_generation`).Scan(&generation)
	return generation, engineError(err)
}

// MeterList is the list of declared meters at a generation.
type MeterList struct {
	Generation int64
	Meters     []schemas.Meter
}

// MeterList reads the declared meters; known comes back where nothing changed.
func (s *Store) MeterList(ctx context.Context, known *MeterList) (*MeterList, error) {
	list := &MeterList{}
	err := s.View(ctx, func(v *View) (err error) {
		if list.Generation, err = v.MetersGeneration(); err != nil {
			return err
		}
		if known != nil && known.Generation == list.Generation {
			list = known
			return nil
		}
		all, err := v.Meters()
		for i := range all {
			list.Meters = append(list.Meters, all[i].Meter)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read meters: %w", err)
	}
	return list, nil
}

// CreateMeter declares a meter: the next version of its slug, the first where
// the slug is new. ErrMeterExists, ErrMeterBuiltIn, ErrTooManyMeters, or a
// *schemas.FieldError.
func (s *Store) CreateMeter(ctx context.Context, actor string, d schemas.MeterDefinition) (m DeclaredMeter, err error) {
	err = s.changeMeters(ctx, func(w *writeTx) error {
		if _, err := currentMeter(ctx, w, d.Slug); !errors.Is(err, ErrNotFound) {
			if err == nil {
				err = ErrMeterExists
			}
			return err
		}
		if m, err = s.insertMeter(ctx, w, d, MeterFromAPI); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "meter", Subject: d.Slug, After: d})
	})
	if err != nil {
		return DeclaredMeter{}, fmt.Errorf("create meter %q: %w", d.Slug, err)
	}
	return m, nil
}

// UpdateMeter changes a meter that the API declared. Where it counts otherwise
// than before it becomes the next version, which has to be filled first; else
// its words change.
func (s *Store) UpdateMeter(ctx context.Context, actor string, d schemas.MeterDefinition) (m DeclaredMeter, err error) {
	err = s.changeMeters(ctx, func(w *writeTx) error {
		now, err := currentMeter(ctx, w, d.Slug)
		if err != nil {
			return err
		}
		if now.Origin == MeterFromConfig {
			return ErrMeterConfigured
		}
		if m, err = s.replaceMeter(ctx, w, now, d, MeterFromAPI); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "change", Noun: "meter", Subject: d.Slug, Before: now.Definition, After: d})
	})
	if err != nil {
		return DeclaredMeter{}, fmt.Errorf("change meter %q: %w", d.Slug, err)
	}
	return m, nil
}

// DeleteMeter ends a meter that the API declared. Its rollups stay where they
// are; no question reaches them any more.
func (s *Store) DeleteMeter(ctx context.Context, actor, slug string) error {
	err := s.changeMeters(ctx, func(w *writeTx) error {
		now, err := currentMeter(ctx, w, slug)
		if err != nil {
			return err
		}
		if now.Origin == MeterFromConfig {
			return ErrMeterConfigured
		}
		if err := s.endMeter(ctx, w, now); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "delete", Noun: "meter", Subject: slug, Before: now.Definition})
	})
	if err != nil {
		return fmt.Errorf("delete meter %q: %w", slug, err)
	}
	return nil
}

// SyncMeters makes the configuration's meters so. One that the configuration no
// longer has stays, and is the API's to change or delete from then on.
func (s *Store) SyncMeters(ctx context.Context, definitions []schemas.MeterDefinition) error {
	err := s.changeMeters(ctx, func(w *writeTx) error {
		err := w.exec(ctx, `UPDATE meters SET origin = ? WHERE origin = ? AND deleted_at IS NULL`,
			string(MeterFromAPI), string(MeterFromConfig))
		if err != nil {
			return err
		}
		for _, d := range definitions {
			now, err := currentMeter(ctx, w, d.Slug)
			switch {
			case errors.Is(err, ErrNotFound):
				_, err = s.insertMeter(ctx, w, d, MeterFromConfig)
			case err == nil:
				_, err = s.replaceMeter(ctx, w, now, d, MeterFromConfig)
			}
			if err != nil {
				return fmt.Errorf("meter %q: %w", d.Slug, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("meters of the configuration: %w", err)
	}
	return nil
}

// changeMeters is a transaction that raises the generation.
func (s *Store) changeMeters(ctx context.Context, change func(w *writeTx) error) error {
	return s.transact(ctx, func(w *writeTx) error {
		if err := change(w); err != nil {
			return err
		}
		return w.exec(ctx, `UPDATE meter_generation SET generation = generation + 1`)
	})
}

// currentMeter is the declared meter of a slug; built-in slugs are taken.
func currentMeter(ctx context.Context, w *writeTx, slug string) (DeclaredMeter, error) {
	if _, builtIn := schemas.MeterBySlug(slug); builtIn {
		return DeclaredMeter{}, ErrMeterBuiltIn
	}
	m, err := scanMeter(w.conn.QueryRowContext(ctx, activeMeter, slug))
	return m, engineError(err)
}

func (s *Store) insertMeter(ctx context.Context, w *writeTx, d schemas.MeterDefinition, origin MeterOrigin) (m DeclaredMeter, err error) {
	var active, version int
	err = w.conn.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM meters WHERE deleted_at IS NULL),
		(SELECT coalesce(max(version), 0) + 1 FROM meters WHERE slug = ?)`, d.Slug).Scan(&active, &version)
	if err != nil {
		return m, engineError(err)
	}
	if active >= schemas.MaxMeters {
		return m, ErrTooManyMeters
	}
	m = DeclaredMeter{Origin: origin, CreatedAt: s.opts.Now().UTC()}
	if m.Meter, err = schemas.NewMeter(d, version); err != nil {
		return m, err
	}
	definition, err := json.Marshal(d)
	if err != nil {
		return m, err
	}
	return m, w.exec(ctx, `INSERT INTO meters (slug, version, definition, topic, origin, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		d.Slug, version, string(definition), string(m.Family.Topic), string(origin), m.CreatedAt.UnixMicro())
}

func (s *Store) replaceMeter(ctx context.Context, w *writeTx, now DeclaredMeter, d schemas.MeterDefinition, origin MeterOrigin) (DeclaredMeter, error) {
	if !now.Definition.SameCount(&d) {
		if err := s.endMeter(ctx, w, now); err != nil {
			return now, err
		}
		return s.insertMeter(ctx, w, d, origin)
	}
	var err error
	if now.Meter, err = schemas.NewMeter(d, now.Version); err != nil {
		return now, err
	}
	definition, err := json.Marshal(d)
	if err != nil {
		return now, err
	}
	now.Origin = origin
	return now, w.exec(ctx, `UPDATE meters SET definition = ?, origin = ? WHERE slug = ? AND version = ?`,
		string(definition), string(origin), now.Slug, now.Version)
}

func (s *Store) endMeter(ctx context.Context, w *writeTx, m DeclaredMeter) error {
	return w.exec(ctx, `UPDATE meters SET deleted_at = ? WHERE slug = ? AND version = ?`,
		s.opts.Now().UnixMicro(), m.Slug, m.Version)
}
