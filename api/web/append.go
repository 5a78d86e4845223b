package web

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
)

// Written is an answer of type T that was written by hand into one buffer: of what
// pages ask for all day long encoding/json would spend more on writing than Postgres
// spends on reading. It is byte for byte what encoding/json writes of a T; a test of
// each answer compares the two. T is what the document describes.
type Written[T any] []byte

func (w *Written[T]) asJSON() []byte { return *w }

func (*Written[T]) document() reflect.Type { return reflect.TypeFor[T]() }

// FinishAnswer ends an answer as EncodeJSON does.
func FinishAnswer[T any](b []byte) *Written[T] {
	w := Written[T](append(b, '\n'))
	return &w
}

// AppendText appends a JSON string.
func AppendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := EncodeJSON(s) // strings have an encoding
			return append(b, quoted[:len(quoted)-1]...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// AppendOptionalText appends a JSON string or null.
func AppendOptionalText(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return AppendText(b, *s)
}

// AppendNumber appends a finite number as encoding/json does: without an exponent
// where that is not too long.
func AppendNumber(b []byte, f float64) []byte {
	if f == 0 && !math.Signbit(f) {
		return append(b, '0')
	}
	if abs := math.Abs(f); f != 0 && (abs < 1e-6 || abs >= 1e21) {
		whole, err := json.Marshal(f)
		if err != nil { // neither NaN nor infinite is a number in JSON
			return append(b, "null"...)
		}
		return append(b, whole...)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// AppendTime appends a time as Time is answered; null for the zero time.
func AppendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

// AppendList appends a JSON array of what each item appends.
func AppendList[T any](b []byte, items []T, one func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &items[i])
	}
	return append(b, ']')
}
