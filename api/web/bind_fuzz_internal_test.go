package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzBind: whatever the bytes, the answer is JSON and no fault of ours.
func FuzzBind(f *testing.F) {
	for _, seed := range []string{
		`{"name":"a"}`, `{"name":null,"on":1,"at":"2026-11-22T10:00:00.5","price":1e3}`,
		`{"nested":{"zones":["x"],"tags":{"a":"b"},"pools":[{"price":1}]}}`,
		`[`, `{"name":"\u0000"}`, "{\"name\":\"\xff\"}", `{"name":"a","name":{}}`, strings.Repeat("[", 20000),
		`{"nested":{"tags":{"\u0000":""}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		rec := httptest.NewRecorder()
		surface(t, 0, echo).ServeHTTP(rec,
			httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/e/x", strings.NewReader(body)))
		if !json.Valid(rec.Body.Bytes()) || rec.Code >= 500 {
			t.Fatalf("%q: %d %s", body, rec.Code, rec.Body)
		}
	})
}

// FuzzTime: a time that is accepted is one that Postgres can hold, and is read
// back as itself.
func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-11-22T10:00:00Z", "2026-11-22 10:00:00.123456+02:30", "2026-11-22T10:00",
		"0000-00-00T00:00:00", "2026-11-22T24:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var at Time
		if at.UnmarshalText([]byte(text)) != nil {
			return
		}
		if at.Year() < 1969 || at.Year() > 2201 || at.Location() != time.UTC {
			t.Fatalf("%q is %s", text, at)
		}
		var again Time
		if err := again.UnmarshalText([]byte(at.Format(time.RFC3339Nano))); err == nil && !again.Equal(at.Time) {
			t.Fatalf("%q: %s and %s", text, at, again)
		}
	})
}
