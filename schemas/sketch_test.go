package schemas

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func sketchOf(values []float64, count int64) Sketch {
	var counts []SketchCount
	for _, v := range values {
		counts = append(counts, SketchCount{BucketOf(v), count})
	}
	return SketchOf(counts)
}

// distributions are values of many shapes and sizes.
func distributions(rnd *rand.Rand, n int) map[string][]float64 {
	all := map[string][]float64{}
	for name, draw := range map[string]func() float64{
		"latencies": func() float64 { return math.Exp(rnd.NormFloat64()*2 + 3) },
		"uniform":   func() float64 { return rnd.Float64() * 1e6 },
		"signed":    func() float64 { return rnd.NormFloat64() * 1000 },
		"tiny":      func() float64 { return rnd.Float64() * 1e-6 },
		"huge":      func() float64 { return rnd.Float64() * 1e12 },
		"few":       func() float64 { return float64(rnd.IntN(3)) },
		"below 0":   func() float64 { return -1 / (1e-3 + rnd.Float64()) },
	} {
		for range n {
			v := draw()
			d, err := DecimalOf(v) // what is counted has nine digits
			if err != nil {
				panic(err)
			}
			all[name] = append(all[name], d.Float())
		}
	}
	return all
}

func TestSketchQuantiles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 7, 1000, 20000} {
		for name, values := range distributions(rnd, n) {
			s := sketchOf(values, 1)
			slices.Sort(values)
			for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1} {
				want := values[max(int(math.Ceil(q*float64(n))), 1)-1]
				got, ok := s.Quantile(q)
				if !ok || math.Abs(got-want) > SketchError*math.Abs(want) {
					t.Errorf("%s: quantile %v of %d values = %v, want %v within %v", name, q, n, got, want, SketchError)
				}
			}
		}
	}
	if _, ok := Sketch(nil).Quantile(0.5); ok {
		t.Error("an empty sketch has a quantile")
	}
}

func TestBucketsSortAsValues(t *testing.T) {
	values := []float64{-1e12, -1.5, -1, -1e-9, 0, 1e-9, 0.5, 1, 1.01, 2, 1e12}
	for i := 1; i < len(values); i++ {
		if a, b := BucketOf(values[i-1]), BucketOf(values[i]); a >= b {
			t.Errorf("bucket of %v is %d, of %v %d", values[i-1], a, values[i], b)
		}
	}
	for _, text := range []string{"-0.000000001", "0.1", "-1.5", "999999999999.999999999"} {
		d, err := ParseDecimal([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := BucketOfDecimal(d), BucketOf(d.Float()); got != want {
			t.Errorf("bucket of decimal %s is %d, of the double %d", text, got, want)
		}
	}
	if got := BucketOf(math.Copysign(0, -1)); got != 0 {
		t.Errorf("bucket of -0 is %d", got)
	}
}

func TestSketchMergeAndForm(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for name, values := range distributions(rnd, 500) {
		whole := sketchOf(values, 1)
		rnd.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
		var merged Sketch
		for part := range slices.Chunk(values, 77) {
			merged = sketchOf(part, 1).Merge(merged)
		}
		if !slices.Equal(merged, whole) || whole.Count() != 500 {
			t.Errorf("%s: merged parts differ from the whole", name)
		}
		if left := whole.Merge(sketchOf(values[:300], -1)); !slices.Equal(left, sketchOf(values[300:], 1)) {
			t.Errorf("%s: what was taken back is not gone", name)
		}
		if left := whole.Merge(sketchOf(values, -1)); len(left) != 0 {
			t.Errorf("%s: %d buckets are left of nothing", name, len(left))
		}
		b := append(whole.Append(nil), 0xff)
		got, rest, err := ReadSketch(b)
		if err != nil || !slices.Equal(got, whole) || len(rest) != 1 {
			t.Errorf("%s: read back %v, %d bytes left, %v", name, got, len(rest), err)
		}
		for cut := range len(b) - 1 {
			if _, _, err := ReadSketch(b[:cut]); err == nil {
				t.Fatalf("%s: %d of %d bytes are taken for a sketch", name, cut, len(b))
			}
		}
	}
}

func FuzzReadSketch(f *testing.F) {
	f.Add(sketchOf([]float64{1, 2, 2, -5, 0}, 1).Append(nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, rest, err := ReadSketch(b)
		if err != nil {
			return
		}
		again, left, err := ReadSketch(s.Append(nil))
		if err != nil || !slices.Equal(again, s) || len(left) != 0 || len(rest) > len(b) {
			t.Errorf("%v is read back as %v, %v", s, again, err)
		}
	})
}

func BenchmarkBucketOf(b *testing.B) {
	v := 12.345
	var sum Bucket
	for b.Loop() {
		sum += BucketOf(v)
		v *= 1.0001
	}
	_ = sum
}
