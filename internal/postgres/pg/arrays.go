package pg

import (
	"encoding/binary"
	"math"
	"time"
)

// Array reads a one-dimensional array without nulls from a row's raw value, which pgx
// asks for in the binary format, element by element: a list that reads a dozen arrays per row would otherwise spend most of its
// time on making slices of them. Of null it reads nothing.
type Array struct {
	left int
	rest []byte
}

// The header of an array: dimensions, whether there are nulls, the type of its elements,
// and of its one dimension the length and the lower bound.
const arrayHeader = 20

// DecodeArray begins to read the raw value of an array; null is an empty one.
func DecodeArray(raw []byte) Array {
	if len(raw) < arrayHeader {
		return Array{}
	}
	return Array{left: int(binary.BigEndian.Uint32(raw[12:])), rest: raw[arrayHeader:]}
}

// Length is how many elements are left.
func (a *Array) Length() int { return a.left }

// Next is the next element; the caller asks for no more than are left.
func (a *Array) Next() []byte {
	end := 4 + int(binary.BigEndian.Uint32(a.rest))
	v := a.rest[4:end]
	a.left, a.rest = a.left-1, a.rest[end:]
	return v
}

// Number reads the next element, a float8.
func (a *Array) Number() float64 { return math.Float64frombits(binary.BigEndian.Uint64(a.Next())) }

// Integer reads the next element, a bigint.
func (a *Array) Integer() int64 { return integerOf(a.Next()) }

// Time reads the next element, a timestamptz.
func (a *Array) Time() time.Time { return DecodeTimestamp(a.Next()) }

// integerOf reads a bigint.
func integerOf(raw []byte) int64 {
	return int64(binary.BigEndian.Uint64(raw)) //nolint:gosec // the sign is in the bits
} //nolint:gosec // its bits are those of the bigint

// DecodeTimestamp reads a timestamptz, which counts microseconds since the year 2000.
func DecodeTimestamp(raw []byte) time.Time {
	const from = 946_684_800
	return time.UnixMicro(integerOf(raw) + from*1_000_000)
}
