package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
)

func TestPositionsMustNotGoBack(t *testing.T) {
	w := newWatcher("127.0.0.1:1")
	for _, c := range []struct {
		through string
		good    bool
	}{
		{"1970-01-01T00:00:00Z", true},
		{"2026-01-01T00:00:00Z; usage=0:120,1:98", true},
		{"2026-01-01T00:00:00Z; usage=0:120,1:99", true},
		{"2026-01-01T00:00:00Z; emails=0:1", true},
		{"2026-01-01T00:00:00Z; usage=0:119,1:99", false},
		{"2026-01-01T00:00:00Z; usage=0:x", false},
	} {
		if err := w.positions(c.through); (err == nil) != c.good {
			t.Errorf("%s: got %v, want good %v", c.through, err, c.good)
		}
	}
}

func TestParseHTTPID(t *testing.T) {
	if p, n, ok := parseHTTPID("1-23"); p != 1 || n != 23 || !ok {
		t.Errorf("got %d %d %v, want 1 23 true", p, n, ok)
	}
	for _, id := range []string{"", "1", "1-", "-1", "a-1", "1-2-3"} {
		if p, n, ok := parseHTTPID(id); ok {
			t.Errorf("%q: got %d %d, want not ok", id, p, n)
		}
	}
}

// A correction comes in a later wave than what it waits for, and once.
func TestWavesOfCorrections(t *testing.T) {
	l := &fixLoad{began: time.Now(), waves: 70}
	sent, inWave := map[string]bool{}, []string{}
	var d schemas.Decoder
	var ev schemas.Event
	for wave := range l.waves + 2*fixLag + 1 {
		for _, m := range l.wave(wave) {
			if why := d.Decode(schemas.Usage, m.Value, &ev); why != nil {
				t.Fatal(why)
			}
			if why := schemas.DefaultRules().Validate(schemas.Usage, &ev, time.Now().UnixMicro()); string(ev.Type) != schemas.TypeRequest && why != nil {
				t.Fatal(why)
			}
			id := string(ev.ID)
			if n, revision, ok := strings.Cut(id, "-"); ok {
				before := n
				if revision == "2" {
					before = n + "-1"
				}
				if !sent[before] {
					t.Errorf("wave %d: %s comes before %s", wave, id, before)
				}
			}
			if sent[id] || slices.Contains(inWave, id) {
				t.Errorf("wave %d: %s is there again", wave, id)
			}
			inWave = append(inWave, id)
		}
		for _, id := range inWave {
			sent[id] = true
		}
		inWave = inWave[:0]
	}
	want, err := l.expect()
	if err != nil || int64(len(sent)) != want.events+want.corrections {
		t.Errorf("got %d records (%v), want %d", len(sent), err, want.events+want.corrections)
	}
}
