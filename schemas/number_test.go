package schemas

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

var hardNumbers = []string{"0", "-0", "1", "-1", "0.5", "-0.5", "1.", ".5", "01", "-01", "+1", "", "-", "1e", "1e+", "1e5", "1E-5",
	"0.1234567895", "0.1234567885", "-0.1234567895", "0.0000000005", "0.00000000050000000000000000001", "0.0000000015",
	"0.00000000049999999999999999999", "999999999999.9999999994", "999999999999.9999999995", "-999999999999.9999999995",
	"1000000000000", "-1000000000000", "1e12", "1e11", "1.000000000000000000000e11", "123456789012345678", "1234567890123456789",
	"0.123456789012345678", "0.1234567890123456789", "12345678901234567890e-20", "0e999999999999999999999", "1e-999999999999999999999",
	"1e999999999999999999999", "0.000000000000000000000000000000000000001e39", "100000000000000000000000000000e-29", "NaN", "1 ", " 1",
	"1_000", "0x1", "18446744073709551616", "5e-10", "15e-10", "25e-10", "2.5e-9", "3.5e-9", "00", "0.0", "0.50", "1e0", "-1.25e-3",
	"9007199254740993", "8999999999.000009", "8999999999.00001", "123456789.012345"}

func checkDecimal(t *testing.T, text string) {
	t.Helper()
	got, err := ParseDecimal([]byte(text))
	valid := validNumber(text)
	if !valid || err == ErrNotNumber {
		if valid || !errors.Is(err, ErrNotNumber) {
			t.Fatalf("%q: got %v %v, want number=%v", text, got, err, valid)
		}
		return
	}
	want, _, wantErr := oracleDecimal(text)
	if got != want || !errors.Is(err, wantErr) {
		t.Fatalf("%q: got %+v %v, want %+v %v", text, got, err, want, wantErr)
	}
	if back, err2 := ParseDecimal([]byte(got.String())); err == nil && (back != got || err2 != nil) {
		t.Fatalf("%q: %s read back is %+v %v, want %+v", text, got, back, err2, got)
	}
	// What a latency column makes of the text.
	n, err := parseNumber([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	f, d, err := n.double()
	wantF, rangeErr := strconv.ParseFloat(text, 64)
	if rangeErr != nil || math.Abs(wantF) >= MaxValue {
		if !errors.Is(err, ErrOutOfRange) {
			t.Fatalf("%q: got %v %v, want out of range", text, f, err)
		}
		return
	}
	checkDecimalOf(t, wantF)
	shortest, _, shortErr := oracleDecimal(strconv.FormatFloat(wantF, 'e', -1, 64))
	if f != wantF || math.Signbit(f) && f == 0 || d != shortest || !errors.Is(err, shortErr) {
		t.Fatalf("%q: got %v %v %v, want %v %v %v", text, f, d, err, wantF, shortest, shortErr)
	}
}

func checkDecimalOf(t *testing.T, f float64) {
	t.Helper()
	got, err := DecimalOf(f)
	want, _, wantErr := oracleDecimal(strconv.FormatFloat(f, 'e', -1, 64))
	if err == nil && got != want || !errors.Is(err, wantErr) {
		t.Fatalf("DecimalOf(%v): got %v %v, want %v %v", f, got, err, want, wantErr)
	}
}

// validNumber is RFC 8259's grammar, written differently.
func validNumber(text string) bool {
	mantissa, exp, hasExp := strings.Cut(strings.ToLower(text), "e")
	if hasExp {
		if exp != "" && strings.Contains("+-", exp[:1]) {
			exp = exp[1:]
		}
		if !allDigits(exp) {
			return false
		}
	}
	whole, frac, hasFrac := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	return allDigits(whole) && (whole == "0" || whole[0] != '0') && (!hasFrac || allDigits(frac))
}

func allDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func TestParseDecimal(t *testing.T) {
	for _, text := range hardNumbers {
		checkDecimal(t, text)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		checkDecimal(t, randomNumber(r))
	}
}

// randomNumber writes numbers of few and many digits, with runs of 0, 5 and 9
// where rounding is decided.
func randomNumber(r *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			if b[i] = byte('0' + r.IntN(10)); r.IntN(3) == 0 {
				b[i] = "0059"[r.IntN(4)]
			}
		}
		return string(b)
	}
	text := strings.TrimLeft(digits(r.IntN(14)), "0")
	if text == "" {
		text = "0"
	}
	if r.IntN(4) > 0 {
		text += "." + digits(1+r.IntN(22))
	}
	if r.IntN(4) == 0 {
		text += fmt.Sprintf("e%d", r.IntN(50)-25)
	}
	if r.IntN(3) == 0 {
		text = "-" + text
	}
	return text
}

func TestDecimalOfDoubles(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		f := math.Ldexp(r.Float64(), r.IntN(80)-40)
		checkDecimalOf(t, f)
		checkDecimalOf(t, -f)
		// The neighbourhood of 10^15 micro units, where six digits stop being the shortest form.
		near := math.Round(r.Float64()*2e10*1e6) / 1e6
		checkDecimalOf(t, near)
		checkDecimalOf(t, math.Nextafter(near, 0))
	}
}

func TestParseDecimalAllocations(t *testing.T) {
	for _, text := range []string{"31", "12.345", "-0.000000001", "999999999999.999999", "0.12345678901234567",
		"1.5e3", "0.1234567890123456789012345678901234567890"} {
		b := []byte(text)
		if n := testing.AllocsPerRun(100, func() { ParseDecimal(b) }); n != 0 {
			t.Errorf("%s: got %v allocations, want 0", text, n)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	for _, text := range hardNumbers {
		f.Add(text)
	}
	f.Fuzz(checkDecimal)
}

func BenchmarkParseDecimal(b *testing.B) {
	for _, text := range []string{"200", "12.345", "0.1234567895", "1234567.891234567891e-3"} {
		b.Run(text, func(b *testing.B) {
			number := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseDecimal(number); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
