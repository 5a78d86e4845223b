// Package boxtest has doubles of the services that an agent calls: the metadata service
// with its traps, and a control plane that counts what arrives.
package boxtest

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// IMDS is a metadata service, version 2 alone.
type IMDS struct {
	*httptest.Server

	mu       sync.Mutex
	paths    map[string]string
	tokens   map[string]bool
	granted  int
	reads    map[string]int
	hang     map[string]bool
	failNext int           // how many requests are answered 503
	noTokens int           // status of every PUT, 0 when it works
	date     time.Duration // how far its clock is ahead
	slow     time.Duration // how long each answer takes
	released chan struct{}
}

// StartIMDS starts the metadata service of an instance until the test ends.
func StartIMDS(tb testing.TB, instanceID string) *IMDS {
	tb.Helper()
	f := &IMDS{
		tokens:   map[string]bool{},
		reads:    map[string]int{},
		hang:     map[string]bool{},
		released: make(chan struct{}),
		paths: map[string]string{
			"meta-data/instance-id":                 instanceID,
			"meta-data/instance-type":               "t3.medium",
			"meta-data/placement/availability-zone": "us-east-1a",
			"meta-data/placement/region":            "us-east-1",
			"meta-data/ami-id":                      "ami-1",
			"meta-data/local-ipv4":                  "10.0.0.10",
			"meta-data/instance-life-cycle":         "spot",
		},
	}
	f.Server = httptest.NewServer(f)
	tb.Cleanup(func() {
		close(f.released)
		f.Close()
	})
	return f
}

// ServeHTTP implements http.Handler.
func (f *IMDS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/latest/")
	f.mu.Lock()
	f.reads[path]++
	hang, ahead, slow := f.hang[path], f.date, f.slow
	fail := f.failNext > 0
	if fail {
		f.failNext--
	}
	f.mu.Unlock()
	if hang {
		select {
		case <-f.released:
		case <-r.Context().Done():
		}
		return
	}
	select {
	case <-time.After(slow):
	case <-r.Context().Done():
	}
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	if fail {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if path == "api/token" {
		f.grant(w, r)
		return
	}
	f.read(w, r, path)
}

func (f *IMDS) grant(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	ttl, err := strconv.Atoi(r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds"))
	switch {
	case f.noTokens != 0:
		w.WriteHeader(f.noTokens)
		return
	case r.Method != http.MethodPut || err != nil || ttl < 1 || ttl > 21600 || r.Header.Get("X-Forwarded-For") != "":
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	f.granted++
	token := fmt.Sprintf("token-%d", f.granted)
	f.tokens[token] = true
	w.Header().Set("X-aws-ec2-metadata-token-ttl-seconds", strconv.Itoa(ttl))
	_, _ = w.Write([]byte(token))
}

func (f *IMDS) read(w http.ResponseWriter, r *http.Request, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, ok := f.paths[path]
	switch {
	case !f.tokens[r.Header.Get("X-aws-ec2-metadata-token")]:
		w.WriteHeader(http.StatusUnauthorized)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	default:
		_, _ = w.Write([]byte(text))
	}
}

// Set makes a path say a text; an empty text is an empty answer.
func (f *IMDS) Set(path, text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paths[path] = text
}

// Clear makes a path answer 404.
func (f *IMDS) Clear(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.paths, path)
}

// Revoke refuses all tokens that were granted, with 401.
func (f *IMDS) Revoke() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tokens = map[string]bool{}
}

// Fail answers the next n requests with 503.
func (f *IMDS) Fail(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failNext = n
}

// RefuseTokens answers every PUT with a status.
func (f *IMDS) RefuseTokens(status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.noTokens = status
}

// Hang leaves requests for a path without an answer.
func (f *IMDS) Hang(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hang[path] = true
}

// Slow has each answer take d.
func (f *IMDS) Slow(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = d
}

// Answer lets a path answer again that hung.
func (f *IMDS) Answer(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.hang, path)
}

// SetClock puts the service's clock ahead of the instance's.
func (f *IMDS) SetClock(ahead time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.date = ahead
}

// Granted is how many tokens there were.
func (f *IMDS) Granted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.granted
}

// Reads are the requests by path.
func (f *IMDS) Reads() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.reads)
}

// Interrupt shows a notice at the metadata service, as AWS does. at is the time of the end.
func (f *IMDS) Interrupt(action string, at time.Time) {
	f.Set("meta-data/spot/instance-action",
		fmt.Sprintf(`{"action":%q,"time":%q}`, action, at.UTC().Format(time.RFC3339)))
}
