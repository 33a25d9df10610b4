package collector

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/api"
)

// sample is an api.request of about 340 bytes, of one of 50 accounts.
func sample(i int) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%08x-7b1c-4c8e-9a51-%012x","source":"gateway-1","type":"api.request",`+
		`"subject":"account-%d","time":"2026-01-02T03:04:05.%06dZ","data":{"api":"orders","version":"v2","endpoint":"/orders/{id}",`+
		`"method":"GET","status":200,"latency_ms":%d.5,"bytes":%d,"client_ip":"192.0.2.%d","key_id":"k-%d"}}`,
		uint32(i*2654435761), i, i%50, i%1000000, i%300, i*37%9000, i%250, i%20)
}

func batchOf(from, n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(sample(from + i))
	}
	b.WriteByte(']')
	return b.Bytes()
}

// drive posts bodies on connections of its own, with a key where one is given,
// and reports the latencies.
func drive(b *testing.B, url string, connections, eventsEach int, body func(i int) []byte, key ...string) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true}}
	defer client.CloseIdleConnections()
	bodies := make([][]byte, 256)
	for i := range bodies {
		bodies[i] = body(i * eventsEach)
	}
	took := make([][]time.Duration, connections)
	var next atomic.Int64
	var running sync.WaitGroup
	b.ResetTimer()
	for n := range connections {
		running.Go(func() {
			for {
				i := int(next.Add(1))
				if i > b.N {
					return
				}
				start := time.Now()
				request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(bodies[i%len(bodies)]))
				if err != nil {
					b.Error(err)
					return
				}
				request.Header["Content-Type"], request.Header["Apikey"] = []string{"application/json"}, key
				answer, err := client.Do(request)
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
				if answer.StatusCode >= 300 {
					b.Errorf("got status %d", answer.StatusCode)
					return
				}
				took[n] = append(took[n], time.Since(start))
			}
		})
	}
	running.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) == 0 {
		b.Fatal("nothing was answered")
	}
	b.ReportMetric(float64(b.N*eventsEach)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(all[len(all)/2].Seconds()*1000, "p50-ms")
	b.ReportMetric(all[len(all)*99/100].Seconds()*1000, "p99-ms")
}

// The client, the broker with synchronous writes and the collector share the
// machine.
func BenchmarkBatchesOf500(b *testing.B) {
	s := newSetup(b, Config{})
	for _, path := range []string{"/v1/events", "/api/v1/events"} {
		b.Run(path[1:3], func(b *testing.B) {
			drive(b, s.url+path, 8, 500, func(i int) []byte { return batchOf(i, 500) })
		})
	}
}

func BenchmarkSingleEvents64Connections(b *testing.B) {
	s := newSetup(b, Config{})
	drive(b, s.url+"/v1/events", 64, 1, func(i int) []byte { return []byte(sample(i)) })
}

// Usages go through the catalog, and through the rules of their events.
func BenchmarkUsage64Connections(b *testing.B) {
	s, _, _ := newShop(b, Config{})
	drive(b, s.url+"/v1/usage", 64, 1, func(int) []byte { return usageBody("") }, testKey)
}

func BenchmarkUsageBatchesOf500(b *testing.B) {
	s, _, _ := newShop(b, Config{})
	body := append(append([]byte("["), bytes.Repeat(append(usageBody(""), ','), 499)...), append(usageBody(""), ']')...)
	drive(b, s.url+"/v1/usage", 8, 500, func(int) []byte { return body }, testKey)
}

func BenchmarkCheck(b *testing.B) {
	s := newSetup(b, Config{})
	d := new(decoder)
	body := batchOf(0, 500)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		pieces, p := s.collector.split(body, batch)
		if p != nil {
			b.Fatal(p)
		}
		for _, piece := range pieces {
			if e := s.collector.check(d, piece, api.Caller{}, time.Now()); e.rejected != nil {
				b.Fatal(e.rejected)
			}
		}
	}
	b.ReportMetric(float64(b.N*500)/b.Elapsed().Seconds(), "events/s")
}
