package web

import "time"

// ExactTime is a time of an answer with its milliseconds, in RFC 3339 and UTC.
type ExactTime struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (t ExactTime) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format("2006-01-02T15:04:05.000Z07:00") + `"`), nil
}

// NewExactTime wraps a time that may be missing.
func NewExactTime(at *time.Time) *ExactTime {
	if at == nil || at.IsZero() {
		return nil
	}
	return &ExactTime{*at}
}

// MillisecondsBetween is nil while either end is missing.
func MillisecondsBetween(from time.Time, to *time.Time) *int64 {
	if to == nil || from.IsZero() {
		return nil
	}
	ms := to.Sub(from).Milliseconds()
	return &ms
}
