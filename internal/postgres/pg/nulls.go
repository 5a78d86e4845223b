package pg

import (
	"encoding/json"
	"time"
)

// TimeOrNull is a pointer to the moment; null when it is the zero one.
func TimeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// SecondsOrNull is a duration for SQL; zero is null.
func SecondsOrNull(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// JSONOrNull is a JSON value that may be missing.
func JSONOrNull(raw []byte) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
