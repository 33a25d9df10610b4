package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tallybook/jobs"
	"tallybook/store"
)

// get asks the process that this is, over HTTP.
func (d *demo) get(ctx context.Context, path string) (body []byte, status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+path, nil)
	if err != nil {
		return nil, 0, err
	}
	return d.send(req)
}

func (d *demo) send(req *http.Request) (body []byte, status int, err error) {
	req.Header.Set("apiKey", d.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, 32<<20))
	return body, res.StatusCode, err
}

// meterRow is a row of a meter's answer.
type meterRow struct {
	Value       int64             `json:"value"` // the meters asked here count whole things
	WindowStart time.Time         `json:"windowStart"`
	GroupBy     map[string]string `json:"groupBy"`
}

// meterPath is the question that the demo shows and asks.
func meterPath(slug, window string, groupBy ...string) string {
	v := url.Values{"subject": {demoAccount}, "from": {sampleFrom.Format(time.RFC3339)}, "to": {sampleTo.Format(time.RFC3339)},
		"windowSize": {window}, "groupBy": groupBy}
	// Colons may stand in a query, and read better.
	return "/api/v1/meters/" + slug + "/query?" + strings.ReplaceAll(v.Encode(), "%3A", ":")
}

func (d *demo) meter(ctx context.Context, path string) ([]meterRow, error) {
	body, status, err := d.get(ctx, path)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d: %s", path, status, body)
	}
	var answer struct {
		Data []meterRow `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("GET %s: %w", path, err)
	}
	return answer.Data, nil
}

func (d *demo) balance(ctx context.Context) (err error) {
	if d.balanced, err = jobs.Balance(ctx, jobs.BalanceConfig{Store: d.store, Archive: d.archive}); err != nil {
		return err
	}
	t := d.balanced.Total
	d.say("\nEvents in this data folder: %d accepted by the broker, %d counted, %d duplicates, %d refused",
		t.Records, t.Counted, t.Duplicate, t.Rejected)
	return nil
}

// totals are the sample's, by route and day; they must be exact.
func (d *demo) totals(ctx context.Context) error {
	wrong := false
	for _, s := range samples {
		if s.meter == "" {
			continue
		}
		groups := map[string][]string{"requests": {"method", "endpoint"}, "errors": {"endpoint", "error_code"}, "emails": {"event"}}[s.meter]
		path := meterPath(s.meter, "DAY", groups...)
		rows, err := d.meter(ctx, path)
		if err != nil {
			return err
		}
		d.say("\n%s by day, GET %s", s.meter, path)
		total := d.table(rows, groups)
		if total != s.events {
			wrong = true
			d.say("  %s has %d, the sample %d", s.meter, total, s.events)
		}
	}
	if wrong {
		return errNotTheSample
	}
	return nil
}

// table prints a line per group and a column per day, and returns the sum.
func (d *demo) table(rows []meterRow, groups []string) (total int64) {
	days := int(sampleTo.Sub(sampleFrom).Hours() / 24)
	lines, sums := map[string][]int64{}, make([]int64, days)
	width := 24
	for _, r := range rows {
		var name []string
		for _, g := range groups {
			name = append(name, r.GroupBy[g])
		}
		key := strings.Join(name, " ")
		if lines[key] == nil {
			lines[key] = make([]int64, days)
			width = max(width, len(key))
		}
		day := int(r.WindowStart.Sub(sampleFrom).Hours() / 24)
		lines[key][day] += r.Value
		sums[day] += r.Value
	}
	head := fmt.Sprintf("  %-*s", width, strings.Join(groups, " "))
	for day := range days {
		head += sampleFrom.AddDate(0, 0, day).Format("    Jan 02")
	}
	d.say("%s     total", head)
	keys := make([]string, 0, len(lines))
	for key := range lines {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b string) int {
		if sa, sb := sum(lines[a]), sum(lines[b]); sa != sb {
			return int(sb - sa)
		}
		return strings.Compare(a, b)
	})
	line := func(name string, values []int64) {
		text := fmt.Sprintf("  %-*s", width, name)
		for _, v := range append(slices.Clone(values), sum(values)) {
			text += fmt.Sprintf("%10d", v)
		}
		d.say("%s", text)
	}
	for _, key := range keys {
		line(key, lines[key])
	}
	line("", sums)
	return sum(sums)
}

func sum(values []int64) (total int64) {
	for _, v := range values {
		total += v
	}
	return total
}

// hours are the requests of each hour, a line per day.
func (d *demo) hours(ctx context.Context) error {
	path := meterPath("requests", "HOUR")
	rows, err := d.meter(ctx, path)
	if err != nil {
		return err
	}
	at := map[time.Time]int64{}
	for _, r := range rows {
		at[r.WindowStart] = r.Value
	}
	d.say("\nrequests by hour (UTC), GET %s", path)
	head := "  hour  "
	for hour := range 24 {
		head += fmt.Sprintf("%3d", hour)
	}
	d.say("%s", head)
	for day := sampleFrom; day.Before(sampleTo); day = day.AddDate(0, 0, 1) {
		text := day.Format("  Jan 02")
		for hour := range 24 {
			text += fmt.Sprintf("%3d", at[day.Add(time.Duration(hour)*time.Hour)])
		}
		d.say("%s", text)
	}
	return nil
}

const demoFiles = 12 // listed at most

func (d *demo) files(ctx context.Context) error {
	var files []store.ArchiveFile
	err := d.store.View(ctx, func(v *store.View) (err error) {
		files, err = v.Files(store.FileFilter{Limit: 10_000})
		return err
	})
	if err != nil {
		return err
	}
	var rows, bytes int64
	for _, f := range files {
		rows, bytes = rows+f.Rows, bytes+f.Bytes
	}
	d.say("\nParquet files in %s: %d with %d rows, %d bytes", d.cfg.archiveURL(), len(files), rows, bytes)
	for i, f := range files {
		if i == demoFiles {
			d.say("  … and %d more", len(files)-i)
			break
		}
		d.say("  %6d rows %8d bytes  %s", f.Rows, f.Bytes, f.Name)
	}
	return nil
}

// next is what to try; every line works as it is printed.
func (d *demo) next() {
	event := func(id string) string {
		return `{"specversion":"1.0","id":"` + id + `","source":"shell","type":"api.request","subject":"me",` +
			`"data":{"api":"shop","endpoint":"/v1/hello","method":"GET","status":200}}`
	}
	d.say("\nThe key of an administrator, good until the next demo on this data folder")
	d.say("  export KEY=%s", d.key)
	d.say("\nSend an event of your own (the same line again is a duplicate: another id is another event)")
	d.say("  curl -H \"apiKey: $KEY\" -H 'Content-Type: application/json' -d '%s' %s/v1/events", event("one"), d.base)
	d.say("  echo '%s' | kcat -P -b %s -t usage -k me -X topic.partitioner=murmur2_random", event("two"), d.kafka.Brokers[0])
	d.say("and see it, a second later")
	d.say("  curl -H \"apiKey: $KEY\" '%s/api/v1/meters/requests/query?subject=me&groupBy=endpoint'", d.base)
	d.say("\nEvery endpoint, to read and to try in a browser (Authorize takes the key): %s/docs/", d.base)
	d.say("\nAlso")
	for _, path := range []string{"/api/v1/meters", "/v2/summary?groupby=type&begin=2026-01&end=2026-02", "/v1/errors?internal=true", "/readyz", "/metrics", "/schemas/usage.json"} {
		d.say("  curl -H \"apiKey: $KEY\" '%s%s'", d.base, path)
	}
	data := ""
	if d.cfg.Data != "./data" {
		data = " --data " + d.cfg.Data
	}
	if d.cfg.Archive != "" {
		data += " --archive '" + d.cfg.Archive + "'"
	}
	for _, command := range []string{"verify", "balance", "doctor"} {
		d.say("  %s %s%s", os.Args[0], command, data)
	}
	if strings.Contains(d.cfg.archiveURL(), "://") {
		return // DuckDB would need the credentials too
	}
	d.say("and where DuckDB is installed (pip install duckdb)")
	d.say(`  python3 -c "import duckdb; duckdb.sql(\"SELECT endpoint, count(*) FROM '%s' GROUP BY 1 ORDER BY 2 DESC\").show()"`,
		filepath.Join(d.cfg.archiveURL(), "usage/*/*.parquet"))
}
