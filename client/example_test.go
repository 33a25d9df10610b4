package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"tallybook/client"
)

// tallybook stands for the service: it prints what it is told.
func tallybook() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var usages []struct {
			ID       string `json:"id"`
			Endpoint string `json:"endPointName"`
			Status   int    `json:"httpStatusCode"`
			Code     string `json:"errorCode"`
		}
		if err := json.NewDecoder(r.Body).Decode(&usages); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var results []map[string]string
		for _, u := range usages {
			fmt.Println(strings.TrimSpace(fmt.Sprint(r.Header.Get("apiKey"), " ", u.Endpoint, " ", u.Status, " ", u.Code)))
			results = append(results, map[string]string{"id": u.ID, "status": client.Accepted})
		}
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(map[string]any{"results": results})
	}))
}

func Example() {
	service := tallybook()
	defer service.Close()
	reporter := client.NewReporter(client.New(service.URL), client.ReporterConfig{})
	m := &client.Middleware{Reporter: reporter, APIName: "shop", APIVersion: "v1"}

	mux := http.NewServeMux()
	mux.Handle("GET /orders/{id}", m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "7" {
			client.Fail(r, "NO_ORDER", "there is no such order")
			http.Error(w, "no such order", http.StatusNotFound)
			return
		}
		fmt.Fprintln(w, "an order")
	})))
	for _, path := range []string{"/orders/7", "/orders/8"} {
		request := httptest.NewRequest(http.MethodGet, path, nil)
		request.Header.Set("apiKey", "key-of-acme")
		mux.ServeHTTP(httptest.NewRecorder(), request)
	}

	// A program runs it beside its server, and ends it behind the server's
	// Shutdown; here all is queued already.
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := reporter.Run(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%+v\n", reporter.Stats())
	// Output:
	// key-of-acme /orders/{id} 200
	// key-of-acme /orders/{id} 404 NO_ORDER
	// {Reported:2 Sent:2 Rejected:0 Dropped:0 Retries:0}
}

func ExampleClient_ValidateRequest() {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, `{"allowed": false, "reason": "quota_exceeded", "limit": 100, "used": 100}`)
	}))
	defer service.Close()
	verdict, err := client.New(service.URL).ValidateRequest(context.Background(), "key-of-acme", "shop", "v1", "/orders")
	fmt.Println(verdict.Allowed, verdict.Reason, err)
	// Output: false quota_exceeded <nil>
}
