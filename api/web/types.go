package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/interruption"
)

// Bool is a boolean as deployed programs send it: true, false, 1 or 0. It is
// answered as true or false.
type Bool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bool) UnmarshalJSON(data []byte) error { return b.UnmarshalText(data) }

// UnmarshalText implements encoding.TextUnmarshaler, for queries.
func (b *Bool) UnmarshalText(data []byte) error {
	switch string(data) {
	case "true", "1", "1.0":
		*b = true
	case "false", "0", "0.0":
		*b = false
	default:
		return errNotBool
	}
	return nil
}

// Or returns the value, or another when the field was absent or null.
func (b *Bool) Or(other bool) bool {
	if b == nil {
		return other
	}
	return bool(*b)
}

// Time is a time as deployed programs send it: RFC 3339 with or without zone
// (then it is UTC) and fraction, with T or a space. It is answered in RFC 3339,
// UTC, with whole seconds.
type Time struct{ time.Time }

// layouts are tried in order; a fraction is accepted after any of the seconds.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00",
	"2006-01-02T15:04",
}

// UnmarshalText implements encoding.TextUnmarshaler, for queries.
func (t *Time) UnmarshalText(data []byte) error {
	text := string(data)
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	text = strings.TrimSuffix(strings.ToUpper(text), " UTC")
	for _, layout := range layouts {
		at, err := time.Parse(layout, text)
		// Postgres and Go both end somewhere; no machine of a fleet has a time outside this.
		if err == nil && at.Year() >= 1970 && at.Year() < 2200 {
			t.Time = at.UTC()
			return nil
		}
	}
	return errNotTime
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *Time) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errNotTime
	}
	return t.UnmarshalText([]byte(text))
}

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	if t.IsZero() {
		return []byte("null"), nil
	}
	return []byte(`"` + t.UTC().Format(time.RFC3339) + `"`), nil
}

// OrZero returns the time, or the zero time when the field was absent or null.
func (t *Time) OrZero() time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// Moment is a bound of a span of time in a query: a moment in RFC 3339, or a day, which is its
// first moment in UTC.
type Moment struct{ time.Time }

//nolint:staticcheck // a sentence of a page
var errNotMoment = errors.New("Not a day such as 2026-11-30, nor a moment such as 2026-11-30T08:00:00Z.")

// UnmarshalText implements encoding.TextUnmarshaler.
func (m *Moment) UnmarshalText(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if at, err := time.Parse(layout, string(data)); err == nil {
			m.Time = at.UTC()
			return nil
		}
	}
	return errNotMoment
}

// NoticeTime is a moment in a notice. A notice is never lost for the form of one
// field: a number is Unix seconds or milliseconds, and what cannot be read, or is
// empty, counts as not given.
type NoticeTime struct{ Time }

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (t *NoticeTime) UnmarshalJSON(data []byte) error {
	var unix float64
	switch {
	case t.Time.UnmarshalJSON(data) == nil:
	case json.Unmarshal(data, &unix) == nil && unix > 0:
		if unix > 1e11 {
			unix /= 1000
		}
		if unix < 1e11 {
			t.Time = Time{time.UnixMilli(int64(unix * 1000)).UTC()}
		}
	}
	return nil
}

// OrZero returns the moment, or the zero time when there is none.
func (t *NoticeTime) OrZero() time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time.Time
}

// NoticeAction is what AWS does with an instance, in a notice. A word that is not known, and any other
// value, counts as not given.
type NoticeAction interruption.Action

// UnmarshalJSON implements json.Unmarshaler. It never fails.
func (a *NoticeAction) UnmarshalJSON(data []byte) error {
	var word string
	if json.Unmarshal(data, &word) == nil {
		*a = NoticeAction(interruption.ActionOf(word))
	}
	return nil
}

// TimeOf wraps a time for an answer.
func TimeOf(at time.Time) Time { return Time{at} }

// NewTime wraps a time that may be missing, for an answer.
func NewTime(at *time.Time) *Time {
	if at == nil || at.IsZero() {
		return nil
	}
	return &Time{*at}
}

// Text is a string that deployed programs send as text or as a number: ids of
// commands, and numbers typed into forms.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (s *Text) UnmarshalJSON(data []byte) error {
	var v any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return errNotString
	}
	switch v := v.(type) {
	case string:
		*s = Text(v)
	case json.Number:
		*s = Text(v.String())
	default:
		return errNotString
	}
	return nil
}

// Mode is how an instance is bought, in the spellings of deployed programs. An unknown
// spelling stays as it was sent, and the rule of its field refuses it.
type Mode string

// UnmarshalJSON implements json.Unmarshaler.
func (m *Mode) UnmarshalJSON(data []byte) error {
	var word string
	if err := json.Unmarshal(data, &word); err != nil {
		return errNotString
	}
	if known := agent.ParseMode(word); known != agent.ModeUnknown {
		word = string(known)
	}
	*m = Mode(word)
	return nil
}

// What is wrong with a value, in the words of the backend whose clients we serve.
var (
	errNotBool      = errors.New("Not a valid boolean.")             //nolint:staticcheck // shown to users as it is
	errNotTime      = errors.New("Not a valid datetime.")            //nolint:staticcheck // likewise
	errNotString    = errors.New("Not a valid string.")              //nolint:staticcheck // likewise
	errNotNumber    = errors.New("Not a valid number.")              //nolint:staticcheck // likewise
	errNotInteger   = errors.New("Not a valid integer.")             //nolint:staticcheck // likewise
	errNotList      = errors.New("Not a valid list.")                //nolint:staticcheck // likewise
	errNotObject    = errors.New("Not a valid object.")              //nolint:staticcheck // likewise
	errNull         = errors.New("Field may not be null.")           //nolint:staticcheck // likewise
	errNotCursor    = errors.New("Not a cursor of this list.")       //nolint:staticcheck // likewise
	errUnknownField = errors.New("Unknown field.")                   //nolint:staticcheck // likewise
	errNUL          = errors.New("Null characters are not allowed.") //nolint:staticcheck // likewise
)
