package rest

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
)

// written is an answer of type T that was written by hand into one buffer: of what
// pages ask for all day long encoding/json would spend more on writing than Postgres
// spends on reading. It is byte for byte what encoding/json writes of a T; a test of
// each answer compares the two. T is what the document describes.
type written[T any] []byte

func (w *written[T]) asJSON() []byte { return *w }

func (*written[T]) document() reflect.Type { return reflect.TypeFor[T]() }

// finishAnswer ends an answer as encodeJSON does.
func finishAnswer[T any](b []byte) *written[T] {
	w := written[T](append(b, '\n'))
	return &w
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := encodeJSON(s) // strings have an encoding
			return append(b, quoted[:len(quoted)-1]...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendOptionalText appends a JSON string or null.
func appendOptionalText(b []byte, s *string) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return appendText(b, *s)
}

// appendNumber appends a finite number as encoding/json does: without an exponent
// where that is not too long.
func appendNumber(b []byte, f float64) []byte {
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

// appendTime appends a time as Time is answered; null for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, time.RFC3339)
	return append(b, '"')
}

// appendList appends a JSON array of what each item appends.
func appendList[T any](b []byte, items []T, one func([]byte, *T) []byte) []byte {
	b = append(b, '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, &items[i])
	}
	return append(b, ']')
}
