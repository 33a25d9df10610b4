package rating

import (
	"slices"
	"strings"
)

// Currencies whose minor unit is not a hundredth, by ISO 4217.
const (
	withoutMinorUnit = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
	ofThousandths    = "BHD IQD JOD KWD LYD OMR TND"
	ofTenThousandths = "CLF UYW"
)

// MinorPlaces are the decimal places of a currency's minor unit: 2 for USD, 0
// for JPY, 3 for KWD, and 2 for a code that ISO 4217 does not have.
func MinorPlaces(currency string) int {
	switch has := func(list string) bool { return slices.Contains(strings.Fields(list), currency) }; {
	case has(withoutMinorUnit):
		return 0
	case has(ofThousandths):
		return 3
	case has(ofTenThousandths):
		return 4
	}
	return 2
}
