package schemas

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// Bucket is one of the fixed ranges that sketches count values in: the range
// of doubles that share sign, exponent and the top 7 bits of the mantissa.
// Buckets sort as their values do; 0 is that of zero.
type Bucket int32

const (
	bucketBits  = 7
	bucketShift = 52 - bucketBits
	// The size of values from 10^-9, the least Decimal, is at least 2^-30.
	bucketBase = (1023 - 31) << bucketBits

	// SketchError bounds the relative error of a quantile: a bucket is at most
	// 1/128 of its value wide, and its middle stands for it.
	SketchError = 1.0 / 256
)

// BucketOf is the bucket of a value. Sizes below 2^-31 are 0.
func BucketOf(f float64) Bucket {
	b := int64(math.Float64bits(f)&^(1<<63)>>bucketShift) - bucketBase
	switch {
	case b <= 0:
		return 0
	case f < 0:
		return Bucket(-b)
	}
	return Bucket(b)
}

// BucketOfDecimal is the bucket of the double next to d, or next to that.
func BucketOfDecimal(d Decimal) Bucket {
	if d.Units < 0 {
		return -BucketOfDecimal(d.Neg())
	}
	return BucketOf(float64(d.Units) + float64(d.Nanos)/nanosPerUnit)
}

// Value is the middle of the bucket.
func (b Bucket) Value() float64 {
	switch {
	case b == 0:
		return 0
	case b < 0:
		return -(-b).Value()
	}
	low := math.Float64frombits(uint64(int64(b)+bucketBase) << bucketShift)
	return low + (math.Float64frombits(uint64(int64(b)+bucketBase+1)<<bucketShift)-low)/2
}

// SketchCount is how many values fell into a bucket. It is below zero where a
// part of a window takes back what another part counted.
type SketchCount struct {
	Bucket Bucket
	Count  int64
}

// Sketch is what is left of many values for their quantiles: counts by bucket,
// sorted, none of them zero. Merging adds counts, so that its order does not
// matter and a retraction is exact. The zero value is empty.
type Sketch []SketchCount

// SketchOf sorts counts, which may name a bucket several times, and sums them.
// It uses the memory of counts.
func SketchOf(counts []SketchCount) Sketch {
	slices.SortFunc(counts, func(a, b SketchCount) int { return cmp.Compare(a.Bucket, b.Bucket) })
	out := counts[:0]
	for _, c := range counts {
		if n := len(out); n > 0 && out[n-1].Bucket == c.Bucket {
			out[n-1].Count += c.Count
			if out[n-1].Count == 0 {
				out = out[:n-1]
			}
		} else if c.Count != 0 {
			out = append(out, c)
		}
	}
	return out
}

// Merge returns the sum of two sketches; neither is changed.
func (s Sketch) Merge(other Sketch) Sketch {
	if len(other) == 0 {
		return s
	}
	sum := make(Sketch, 0, len(s)+len(other))
	for len(s) > 0 && len(other) > 0 {
		c := s[0]
		switch {
		case c.Bucket < other[0].Bucket:
			s = s[1:]
		case c.Bucket > other[0].Bucket:
			c, other = other[0], other[1:]
		default:
			c.Count += other[0].Count
			s, other = s[1:], other[1:]
			if c.Count == 0 {
				continue
			}
		}
		sum = append(sum, c)
	}
	return append(append(sum, s...), other...)
}

// Count is the number of values.
func (s Sketch) Count() (n int64) {
	for _, c := range s {
		n += c.Count
	}
	return n
}

// Quantile is the value at rank ceil(q × count), the least at 0, within
// SketchError of it; q from 0 to 1. false: there are no values.
func (s Sketch) Quantile(q float64) (float64, bool) {
	n := s.Count()
	if n <= 0 {
		return 0, false
	}
	rank := min(max(int64(math.Ceil(q*float64(n))), 1), n)
	for _, c := range s {
		if rank -= c.Count; rank <= 0 {
			return c.Bucket.Value(), true
		}
	}
	return 0, false // the counts add up to n
}

// Append appends the compact form: the number of buckets, then for each the
// step from the bucket before and the count, all varints.
func (s Sketch) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	last := Bucket(0)
	for _, c := range s {
		b = binary.AppendVarint(b, int64(c.Bucket-last))
		b = binary.AppendVarint(b, c.Count)
		last = c.Bucket
	}
	return b
}

// ErrSketch: the bytes are no sketch.
var ErrSketch = errors.New("not a sketch")

// ReadSketch reads Append's form off the front of b and returns the rest.
func ReadSketch(b []byte) (s Sketch, rest []byte, err error) {
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b))/2 {
		return nil, nil, ErrSketch
	}
	b = b[size:]
	s = make(Sketch, n)
	last := int64(0)
	for i := range s {
		step, size := binary.Varint(b)
		if size <= 0 {
			return nil, nil, ErrSketch
		}
		count, more := binary.Varint(b[size:])
		last += step
		if more <= 0 || count == 0 || i > 0 && step <= 0 || last != int64(Bucket(last)) {
			return nil, nil, ErrSketch
		}
		s[i] = SketchCount{Bucket(last), count}
		b = b[size+more:]
	}
	return s, b, nil
}
