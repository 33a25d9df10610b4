package jobs

import (
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
)

func TestRatedFolds(t *testing.T) {
	cases := []struct {
		data string
		want [6]string // of which the first four are dimensions
	}{
		{`{"metric":"m"}`, [6]string{"m", "", "{}", "[]"}},
		{`{"Metric":"n","metadata":{"z":"1","a":"2"},"groupby":{"b":"2","a":"x\"y\\z"},"unit":"GiB","metric":"m","price":1}`,
			[6]string{"m", "GiB", `{"a":"x\"y\\z","b":"2"}`, `["a","z"]`}},
		{`{"metric":"<&>","unit":null,"groupby":{"é":"\u00e9"},"metadata":null}`, [6]string{"<&>", "", `{"é":"é"}`, "[]"}},
	}
	for _, c := range cases {
		rows := &archive.Rows{Dataset: schemas.Usage, Dict: []string{"", "acme", schemas.TypeRatedUsage}, Account: []archive.Code{1},
			Type: []archive.Code{2}, Time: []int64{0}, Offset: []int64{0}, Quantity: []schemas.Decimal{dec("152.5")}, Amount: []schemas.Decimal{dec("0.04")}}
		rows.Data.Append([]byte(c.data))
		got, err := foldRow(rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got.family != schemas.FamilyRated || got.account != "acme" || got.dims != c.want {
			t.Errorf("%s: got %v %q %q, want %q", c.data, got.family, got.account, got.dims, c.want)
		}
		if want := (schemas.Measures{Count: 1, Quantity: dec("152.5"), Amount: dec("0.04")}); got.Measures != want {
			t.Errorf("%s: got %+v, want %+v", c.data, got.Measures, want)
		}
	}
	rows := &archive.Rows{Dataset: schemas.Usage, Dict: []string{"", "acme", schemas.TypeRatedUsage}, Account: []archive.Code{1}, Type: []archive.Code{2}}
	if got, err := foldRow(rows, 0); err == nil {
		t.Errorf("no data: got %q, want an error", got.dims)
	}
}
