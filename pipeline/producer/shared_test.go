//go:build shared

// Facts of real logs that lie in a folder shared/ beside the checkout
// (shared/data/README.md): go test -tags shared ./pipeline/producer/
package producer

import (
	"maps"
	"slices"
	"testing"

	"tallybook/schemas"
)

const sharedData = "../../../shared/data/"

func TestSharedAccessLog(t *testing.T) {
	cfg, w, _ := testConfig(t, sharedData+"access-combined.log.gz")
	r := mustImport(t, cfg)
	if r.Lines != 10_000 || r.Events != 10_000 || len(r.Skipped) != 0 {
		t.Errorf("got %+v, want 10000 events of 10000 lines", r)
	}
	status, days, size := map[int]int{}, map[string]int{}, int64(0)
	for _, m := range w.records {
		d := decode(t, m)
		status[d.Data.Status]++
		days[d.Time.Format("2006-01-02")]++
		if d.Data.Bytes != nil {
			size += *d.Data.Bytes
		}
		if d.Data.API != "web" || d.Subject != "acct" || string(m.Key) != "acct" {
			t.Fatalf("event %s", m.Value)
		}
	}
	if want := map[int]int{200: 9126, 304: 445, 404: 213, 301: 164, 206: 45, 500: 3, 416: 2, 403: 2}; !maps.Equal(status, want) {
		t.Errorf("by status: got %v, want %v", status, want)
	}
	if want := map[string]int{"2015-05-17": 1632, "2015-05-18": 2893, "2015-05-19": 2896, "2015-05-20": 2579}; !maps.Equal(days, want) {
		t.Errorf("by day: got %v, want %v", days, want)
	}
	if size != 2_747_282_740 || len(idSet(w.records)) != 10_000 {
		t.Errorf("got %d bytes and %d ids, want 2747282740 and 10000", size, len(idSet(w.records)))
	}
}

func TestSharedOpenStack(t *testing.T) {
	cfg, w, _ := testConfig(t, sharedData+"openstack-nova.log.gz")
	cfg.Format, cfg.Account, cfg.AccountFrom = OpenStack, "", FromTenant
	r := mustImport(t, cfg)
	if r.Lines != 2000 || r.Events != 928 || r.Skipped["no_request_id"] != 89 || r.Skipped["no_request"] != 983 {
		t.Errorf("got %+v, want 928 events, 89 without id, 983 others", r)
	}
	tenants, status, endpoints, sum := map[string]int{}, map[int]int{}, map[string]int{}, schemas.Decimal{}
	for _, m := range w.records {
		d := decode(t, m)
		tenants[d.Subject]++
		status[d.Data.Status]++
		endpoints[d.Data.Endpoint]++
		millis, err := schemas.ParseDecimal([]byte(d.Data.Latency))
		if err == nil {
			sum, err = sum.Add(millis)
		}
		if err != nil || d.Data.API != "compute" || d.Data.Bytes == nil {
			t.Fatalf("event %s: %v", m.Value, err)
		}
	}
	if want := map[string]int{"54fadb412c4e40cdbaed9335e4c35a9e": 762, "_none": 119, "e9746973ac574c6b8a9e8857f56a7608": 47}; !maps.Equal(tenants, want) {
		t.Errorf("by tenant: got %v, want %v", tenants, want)
	}
	if want := map[int]int{200: 856, 404: 29, 204: 22, 202: 21}; !maps.Equal(status, want) {
		t.Errorf("by status: got %v, want %v", status, want)
	}
	if got := sum.String(); got != "238348.9596" {
		t.Errorf("durations: got %s ms, want 238348.9596", got)
	}
	if endpoints["/v2/{id}/servers/detail"] != 700 || endpoints["/v2/{id}/servers/{id}"] != 43 {
		t.Errorf("endpoints: %v", slices.Sorted(maps.Keys(endpoints)))
	}
}

func TestSharedApacheErrors(t *testing.T) {
	cfg, w, _ := testConfig(t, sharedData+"apache-error.log.gz")
	cfg.Format = ApacheError
	r := mustImport(t, cfg)
	if r.Lines != 2000 || r.Events != 595 || r.Skipped["level_notice"] != 1405 || len(r.Skipped) != 1 {
		t.Errorf("got %+v, want 595 errors and 1405 notices", r)
	}
	codes := map[string]int{}
	for _, m := range w.records {
		codes[decode(t, m).Data.Code]++
		if m.Topic != "errors" {
			t.Fatalf("topic %s", m.Topic)
		}
	}
	if want := map[string]int{"mod_jk": 551, "error": 44}; !maps.Equal(codes, want) {
		t.Errorf("by code: got %v, want %v", codes, want)
	}
}
