package query

import (
	"math/big"

	"tallybook/schemas"
)

var nanosPerUnit = big.NewInt(1_000_000_000)

// average is sum ÷ count (count > 0), rounded half even to nine digits.
func average(sum schemas.Decimal, count int64) schemas.Decimal {
	n := new(big.Int).Mul(big.NewInt(sum.Units), nanosPerUnit)
	n.Add(n, big.NewInt(int64(sum.Nanos)))
	d := big.NewInt(count)
	rest := new(big.Int)
	n.DivMod(n, d, rest) // floor, since count > 0
	switch half := rest.Lsh(rest, 1).Cmp(d); {
	case half > 0, half == 0 && n.Bit(0) == 1:
		n.Add(n, big.NewInt(1))
	}
	units, nanos := n.DivMod(n, nanosPerUnit, rest) // |average| <= |sum|: fits
	return schemas.Decimal{Units: units.Int64(), Nanos: int32(nanos.Int64())}
}
