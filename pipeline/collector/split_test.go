package collector

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Every array that encoding/json takes is cut into the same elements.
func FuzzSplitArray(f *testing.F) {
	for _, seed := range []string{`[]`, ` [ ] `, `[{}]`, `[{"a":"]"},{"b":"\\"} , 1]`, `["\"",",",[[],{}]]`, `[1,]`, `[{]}`, `["\\\"]"]`} {
		f.Add([]byte(seed))
	}
	c := &Collector{cfg: Config{MaxEvents: 1000}}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, p := c.split(body, oneEvent|batch)
		var want []json.RawMessage
		if body = bytes.TrimLeft(body, " \t\r\n"); len(body) == 0 || body[0] != '[' || json.Unmarshal(body, &want) != nil || len(want) > 1000 {
			return // that nothing panics is enough
		}
		if p != nil || len(got) != len(want) {
			t.Fatalf("%q: got %d pieces, %v; want %d", body, len(got), p, len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], bytes.TrimSpace(want[i])) {
				t.Errorf("%q: piece %d: got %q, want %q", body, i, got[i], want[i])
			}
		}
	})
}
