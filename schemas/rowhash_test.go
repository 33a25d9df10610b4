package schemas

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

func sampleRow(i int) BilledRow {
	return BilledRow{ID: fmt.Appendf(nil, "id-%d", i), Account: "acme", Source: "test", Type: TypeRequest, Customer: "c", Subscription: "s",
		API: "shop", Version: "v1", Endpoint: "/orders", Time: int64(i) * 1000, Partition: 1, Offset: int64(i), Sign: 1,
		Quantity: Decimal{Units: int64(i), Nanos: 5}, HasQuantity: true}
}

// The sum is the same in any order and any division into files.
func TestRowSumHasNoOrder(t *testing.T) {
	var rows []BilledRow
	var want RowSum
	for i := range 1000 {
		rows = append(rows, sampleRow(i))
		want = want.Add(rows[i].Hash())
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rnd.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	var parts [3]RowSum
	for i := range rows {
		parts[i%3] = parts[i%3].Add(rows[i].Hash())
	}
	if got := parts[2].Add(parts[0]).Add(parts[1]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Every billed column changes the hash, and texts cannot move from one to the next.
func TestRowHashKnowsEveryColumn(t *testing.T) {
	base := sampleRow(7)
	seen := map[RowSum]string{base.Hash(): "none"}
	for name, change := range map[string]func(*BilledRow){
		"id": func(r *BilledRow) { r.ID = []byte("id-8") }, "target": func(r *BilledRow) { r.TargetID = []byte("x") },
		"id and target": func(r *BilledRow) { r.ID, r.TargetID = []byte("id-"), []byte("7") },
		"account":       func(r *BilledRow) { r.Account = "acm" }, "source": func(r *BilledRow) { r.Source = "etest" },
		"account and source": func(r *BilledRow) { r.Account, r.Source = "acm", "etest" },
		"type":               func(r *BilledRow) { r.Type = TypeAppEvent }, "customer": func(r *BilledRow) { r.Customer = "" },
		"subscription": func(r *BilledRow) { r.Subscription = "" }, "api": func(r *BilledRow) { r.API = "" },
		"version": func(r *BilledRow) { r.Version = "v2" }, "endpoint": func(r *BilledRow) { r.Endpoint = "/" },
		"currency": func(r *BilledRow) { r.Currency = "USD" }, "time": func(r *BilledRow) { r.Time++ },
		"partition": func(r *BilledRow) { r.Partition++ }, "offset": func(r *BilledRow) { r.Offset++ },
		"row": func(r *BilledRow) { r.Row++ }, "sign": func(r *BilledRow) { r.Sign = -1 },
		"quantity": func(r *BilledRow) { r.Quantity.Nanos++ }, "no quantity": func(r *BilledRow) { r.HasQuantity = false },
		"quantity 0": func(r *BilledRow) { r.Quantity = Decimal{} }, "amount": func(r *BilledRow) { r.HasAmount = true },
		"price": func(r *BilledRow) { r.HasPrice = true }, "price 1": func(r *BilledRow) { r.HasPrice, r.PriceVersion = true, 1 },
	} {
		r := sampleRow(7)
		change(&r)
		hash := r.Hash()
		if was, ok := seen[hash]; ok {
			t.Errorf("%s: the same hash as %s", name, was)
		}
		seen[hash] = name
	}
}

// The form is in proofs that are kept for years: it must never change.
func TestRowHashStays(t *testing.T) {
	r := sampleRow(7)
	const want = "3fc3f327d8d60d5954b94719b68d5446"
	if got := r.Hash().String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	var back RowSum
	if err := back.UnmarshalText([]byte(want)); err != nil || back != r.Hash() {
		t.Errorf("read back: %s, %v", back, err)
	}
	for _, bad := range []string{"", "12", want + "0", "zz" + want[2:]} {
		if err := back.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func BenchmarkRowHash(b *testing.B) {
	r := sampleRow(7)
	for b.Loop() {
		r.Hash()
	}
}
