package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
)

type echoRequest struct {
	ID     string   `json:"-"      uri:"id" binding:"max=5"`
	Limit  *int     `json:"-"      form:"limit" binding:"omitempty,min=1"`
	Name   string   `json:"name"   binding:"required,max=5"`
	Mode   string   `json:"mode"   binding:"omitempty,oneof=spot ondemand"`
	On     *Bool    `json:"on"`
	At     *Time    `json:"at"`
	Count  int      `json:"count"`
	Price  *float64 `json:"price"`
	Nested struct {
		Zones []string          `json:"zones"`
		Tags  map[string]string `json:"tags"`
		Pools []struct {
			Price float64 `json:"price"`
		} `json:"pools"`
	} `json:"nested"`
}

type echoAnswer struct {
	In    echoRequest `json:"in"`
	ID    string      `json:"id"`
	Limit *int        `json:"limit"`
}

// surface serves one route with a handler, open to all.
func surface(
	t *testing.T,
	timeout time.Duration,
	fn func(context.Context, *echoRequest) (*echoAnswer, error),
) http.Handler {
	t.Helper()
	QuietGin()
	g := gin.New()
	g.Use(Identify(testLogger(t)), RecordRequests(NewMetrics(prometheus.NewRegistry())), Recovery, AllowOrigins(nil, nil))
	r := Route{
		Method:   http.MethodPost,
		Path:     "/e/:id",
		Auth:     Anonymous,
		Status:   201,
		Endpoint: NewEndpoint(fn),
		Timeout:  timeout,
		MaxBody:  2048,
	}
	g.Handle(r.Method, r.Path, r.Serve(&Authenticator{Gate: NewThrottle(time.Now)}))
	return g
}

func echo(_ context.Context, in *echoRequest) (*echoAnswer, error) {
	return &echoAnswer{In: *in, ID: in.ID, Limit: in.Limit}, nil
}

func post(t *testing.T, h http.Handler, path, body string) (int, map[string]any, http.Header) {
	t.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(body)))
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"), rec.Body.String())
	var out map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &out), rec.Body.String())
	return rec.Code, out, rec.Header()
}

func TestBindAcceptsWhatDeployedProgramsSend(t *testing.T) {
	t.Parallel()

	h := surface(t, 0, echo)
	for name, tc := range map[string]struct{ body, want string }{
		"unknown fields and nulls": {
			`{"name":"a","mode":null,"on":null,"at":null,"count":null,"price":null,"nested":null,"more":{"x":[1]}}`,
			`{"name":"a"}`},
		"one is true":    {`{"name":"a","on":1}`, `{"on":true}`},
		"zero is false":  {`{"name":"a","on":0}`, `{"on":false}`},
		"false is false": {`{"name":"a","on":false}`, `{"on":false}`},
		"zone and fraction": {`{"name":"a","at":"2026-11-22T10:00:00.123456+00:00"}`,
			`{"at":"2026-11-22T10:00:00Z"}`},
		"other zone": {`{"name":"a","at":"2026-11-22T10:00:00+02:30"}`, `{"at":"2026-11-22T07:30:00Z"}`},
		"naive":      {`{"name":"a","at":"2026-11-22T10:00:00.5"}`, `{"at":"2026-11-22T10:00:00Z"}`},
		"zulu":       {`{"name":"a","at":"2026-11-22T10:00:00Z"}`, `{"at":"2026-11-22T10:00:00Z"}`},
		"space":      {`{"name":"a","at":"2026-11-22 10:05:00"}`, `{"at":"2026-11-22T10:05:00Z"}`},
		"space, fraction and zone": {`{"name":"a","at":"2026-11-22 10:05:00.25-01:00"}`,
			`{"at":"2026-11-22T11:05:00Z"}`},
		"names are exact": {`{"name":"a","NAME":"b","Count":7}`, `{"name":"a","count":0}`},
		"nested": {`{"name":"a","nested":{"zones":["x",null],"tags":{"k":"v"},"pools":[{"price":1}]}}`,
			`{"name":"a"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			status, got, _ := post(t, h, "/e/x?limit=3", tc.body)
			require.Equal(t, 201, status, got)
			var want map[string]any
			require.NoError(t, json.Unmarshal([]byte(tc.want), &want))
			for k, v := range want {
				require.Equal(t, v, got["in"].(map[string]any)[k], k)
			}
			require.Equal(t, "x", got["id"])
			require.InDelta(t, 3, got["limit"], 0)
		})
	}
}

func TestBindRefusesWithTheFieldsName(t *testing.T) {
	t.Parallel()

	h := surface(t, 0, echo)
	for name, tc := range map[string]struct{ path, body, field, sentence string }{
		"missing":            {"/e/x", `{}`, "name", "Missing data for required field."},
		"null required":      {"/e/x", `{"name":null}`, "name", "Field may not be null."},
		"number for text":    {"/e/x", `{"name":5}`, "name", "Not a valid string."},
		"list for text":      {"/e/x", `{"name":["a"]}`, "name", "Not a valid string."},
		"text for a number":  {"/e/x", `{"name":"a","price":"1"}`, "price", "Not a valid number."},
		"number too big":     {"/e/x", `{"name":"a","price":1e999}`, "price", "Not a valid number."},
		"fraction":           {"/e/x", `{"name":"a","count":1.5}`, "count", "Not a valid integer."},
		"integer too big":    {"/e/x", `{"name":"a","count":99999999999999999999}`, "count", "Not a valid integer."},
		"text for a boolean": {"/e/x", `{"name":"a","on":"false"}`, "on", "Not a valid boolean."},
		"two for a boolean":  {"/e/x", `{"name":"a","on":2}`, "on", "Not a valid boolean."},
		"no time":            {"/e/x", `{"name":"a","at":"soon"}`, "at", "Not a valid datetime."},
		"number for a time":  {"/e/x", `{"name":"a","at":1}`, "at", "Not a valid datetime."},
		"year 20000":         {"/e/x", `{"name":"a","at":"20000-01-01T00:00:00Z"}`, "at", "Not a valid datetime."},
		"too long":           {"/e/x", `{"name":"abcdef"}`, "name", "Longer than maximum length 5."},
		"not one of":         {"/e/x", `{"name":"a","mode":"on-demand"}`, "mode", "Must be one of: spot, ondemand."},
		"nul":                {"/e/x", `{"name":"a\u0000"}`, "name", "Null characters are not allowed."},
		"nested wrong": {"/e/x", `{"name":"a","nested":{"pools":[{"price":1},{"price":"x"}]}}`,
			"nested.pools.1.price", "Not a valid number."},
		"nested text":       {"/e/x", `{"name":"a","nested":"x"}`, "nested", "Not a valid object."},
		"not a list":        {"/e/x", `{"name":"a","nested":{"zones":"x"}}`, "nested.zones", "Not a valid list."},
		"path":              {"/e/abcdef", `{"name":"a"}`, "id", "Longer than maximum length 5."},
		"nul in path":       {"/e/a%00", `{"name":"a"}`, "id", "Null characters are not allowed."},
		"not utf-8 in path": {"/e/a%ff", `{"name":"a"}`, "id", "Not a valid string."},
		"query":             {"/e/x?limit=many", `{"name":"a"}`, "limit", "Not a valid integer."},
		"query range":       {"/e/x?limit=0", `{"name":"a"}`, "limit", "Must be greater than or equal to 1."},
		"not an object":     {"/e/x", `[1]`, "_schema", "Invalid input type."},
		"null":              {"/e/x", `null`, "_schema", "Invalid input type."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			status, got, _ := post(t, h, tc.path, tc.body)
			require.Equal(t, 400, status, got)
			require.Equal(t, "request.invalid", got["code"])
			require.Contains(t, got["error"], tc.field)
			details := got["details"].(map[string]any)
			require.Len(t, details, 1, details)
			require.Equal(t, []any{tc.sentence}, details[tc.field])
		})
	}
	for name, body := range map[string]string{
		"missing":   "",
		"blank":     " \n",
		"malformed": "{not json",
		"cut off":   `{"name":`,
		"two":       `{}{}`,
	} {
		status, got, _ := post(t, h, "/e/x", body)
		require.Equal(t, 400, status, name)
		require.Equal(t, "request.invalid", got["code"], name)
	}
	status, got, _ := post(t, h, "/e/x", `{"name":"`+strings.Repeat("x", 3000)+`"}`)
	require.Equal(t, 413, status)
	require.Equal(t, "request.too_large", got["code"])
}

var (
	testConflict  = fault.Define("resttest.conflict", fault.Conflict)
	testExhausted = fault.Define("resttest.exhausted", fault.Exhausted)
)

func TestErrorsBecomeAnswersInOnePlace(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		err    error
		status int
		code   string
		header string
	}{
		"conflict":  {testConflict.New("busy").With("operation_id", "switch/1"), 409, "resttest.conflict", ""},
		"exhausted": {testExhausted.New("nothing left"), 503, "resttest.exhausted", "5"},
		"uncoded":   {context.Canceled, 500, "internal", ""},
		"deadline":  {context.DeadlineExceeded, 503, "request.timed_out", "5"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			h := surface(t, 0, func(context.Context, *echoRequest) (*echoAnswer, error) { return nil, tc.err })
			status, got, header := post(t, h, "/e/x", `{"name":"a"}`)
			require.Equal(t, tc.status, status, got)
			require.Equal(t, tc.code, got["code"])
			require.Equal(t, tc.header, header.Get("Retry-After"))
			require.NotEmpty(t, header.Get("X-Request-Id"))
			if name == "conflict" {
				require.Equal(t, "switch/1", got["operation_id"])
			}
			if name == "uncoded" {
				require.NotContains(t, got["error"], "canceled", "the cause is for the log")
			}
		})
	}
	panics := surface(t, 0, func(context.Context, *echoRequest) (*echoAnswer, error) { panic("secret") })
	status, got, _ := post(t, panics, "/e/x", `{"name":"a"}`)
	require.Equal(t, 500, status)
	require.NotContains(t, got["error"], "secret")

	hangs := surface(t, 20*time.Millisecond, func(ctx context.Context, _ *echoRequest) (*echoAnswer, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	status, _, header := post(t, hangs, "/e/x", `{"name":"a"}`)
	require.Equal(t, 503, status)
	require.Equal(t, "5", header.Get("Retry-After"))
}
