package postgres

import (
	"encoding/binary"
	"math"
	"time"
)

// array reads a one-dimensional array without nulls from a row's raw value, which pgx
// asks for in the binary format, element by element: a list that reads a dozen arrays per row would otherwise spend most of its
// time on making slices of them. Of null it reads nothing.
type array struct {
	left int
	rest []byte
}

// The header of an array: dimensions, whether there are nulls, the type of its elements,
// and of its one dimension the length and the lower bound.
const arrayHeader = 20

func decodeArray(raw []byte) array {
	if len(raw) < arrayHeader {
		return array{}
	}
	return array{left: int(binary.BigEndian.Uint32(raw[12:])), rest: raw[arrayHeader:]}
}

// next is the next element; the caller asks for no more than are left.
func (a *array) next() []byte {
	end := 4 + int(binary.BigEndian.Uint32(a.rest))
	v := a.rest[4:end]
	a.left, a.rest = a.left-1, a.rest[end:]
	return v
}

func (a *array) number() float64 { return math.Float64frombits(binary.BigEndian.Uint64(a.next())) }

func (a *array) integer() int64 { return integerOf(a.next()) }

func (a *array) time() time.Time { return decodeTimestamp(a.next()) }

// integerOf reads a bigint.
func integerOf(raw []byte) int64 { return int64(binary.BigEndian.Uint64(raw)) } //nolint:gosec // its bits are those of the bigint

// decodeTimestamp reads a timestamptz, which counts microseconds since the year 2000.
func decodeTimestamp(raw []byte) time.Time {
	const from = 946_684_800
	return time.UnixMicro(integerOf(raw) + from*1_000_000)
}
