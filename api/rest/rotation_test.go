package rest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/api/control"
	"spotkeeper/api/rest"
	"spotkeeper/internal/postgres/accounts"
	"spotkeeper/internal/postgres/notifications"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/webhook"
)

// atLeast is how many requests of each kind are answered after each step of a rotation.
const atLeast = 25

// traffic is requests of some kinds that flow all the time. Each kind must succeed always.
type traffic struct {
	t     *testing.T
	kinds map[string]func() (*http.Request, func(*httptest.ResponseRecorder) bool)
	// handler is of a process that takes the next request; processes are replaced.
	handler  atomic.Pointer[http.Handler]
	held     sync.RWMutex // a caller holds it from reading its token to the answer
	answered chan string
	failed   chan string
}

// run answers requests until ctx ends.
func (f *traffic) run(ctx context.Context) *sync.WaitGroup {
	var all sync.WaitGroup
	for kind, next := range f.kinds {
		for range 2 {
			all.Go(func() {
				for ctx.Err() == nil {
					f.held.RLock()
					req, good := next()
					rec := httptest.NewRecorder()
					(*f.handler.Load()).ServeHTTP(rec, req)
					f.held.RUnlock()
					into := f.answered
					if !good(rec) {
						into, kind = f.failed, fmt.Sprintf("%s: %d %s", kind, rec.Code, rec.Body)
					}
					select {
					case into <- kind:
					case <-ctx.Done():
					}
				}
			})
		}
	}
	return &all
}

// during makes a step while requests flow, and lets them flow on after it.
func (f *traffic) during(step string, do func() error) {
	f.t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	counts, stepped := map[string]int{}, false
	enough := func() bool {
		for kind := range f.kinds {
			if counts[kind] < atLeast {
				return false
			}
		}
		return stepped
	}
	for !enough() {
		select {
		case err := <-done:
			require.NoError(f.t, err, step)
			stepped = true
			clear(counts)
		case kind := <-f.answered:
			counts[kind]++
		case why := <-f.failed:
			require.Fail(f.t, "a request failed", "%s: %s", step, why)
		case <-f.t.Context().Done():
			require.Fail(f.t, "the requests stopped", step)
		}
	}
}

// TestRotationsUnderLoad replaces the deployment's key, a tenant's token and a webhook's
// secret while requests that depend on them flow. None fails.
func TestRotationsUnderLoad(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	old := sealing.Key{Secret: []byte("0123456789abcdef0123456789abcdef")}
	fresh := sealing.Key{ID: "2027", Secret: []byte("fedcba9876543210fedcba9876543210")}
	process := func(keys ...sealing.Key) (http.Handler, sealing.Keys) {
		all, err := sealing.NewKeys(keys...)
		require.NoError(t, err)
		return s.another(t, func(d *rest.Deps) {
			d.SessionKeys = all.Secrets()
			routes := *d.Accounts
			routes.Store = accounts.NewClientsWith(s.db, all)
			d.Accounts = &routes
			d.Sinks = &control.Sinks{
				Store: notifications.NewSinksWith(s.db, all), Sender: webhook.New(loopback), Allowed: loopback,
			}
		}), all
	}
	r := newReceiver(t)
	made := s.call(s.acme, "POST", "/api/client/c1/sinks", `{"kind":"webhook","url":"`+r.URL+`"}`)
	sink := "/api/client/c1/sinks/" + made.body["sink"].(map[string]any)["id"].(string)
	r.secret = made.body["secret"].(string)
	firstID, first := s.credential(t, `{"kind":"tenant","name":"ci","scope":"read"}`)
	token, cookie := first, s.login(t)

	ask := func(method, path, token string) *http.Request {
		req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(""))
		req.Header.Set("Authorization", "Bearer "+token)
		return req
	}
	is200 := func(rec *httptest.ResponseRecorder) bool { return rec.Code == 200 }
	type kind = func() (*http.Request, func(*httptest.ResponseRecorder) bool)
	flow := &traffic{t: t, answered: make(chan string), failed: make(chan string), kinds: map[string]kind{
		"a sealed token": func() (*http.Request, func(*httptest.ResponseRecorder) bool) {
			return ask("GET", "/api/admin/clients/c1/token", operatorToken), func(rec *httptest.ResponseRecorder) bool {
				return rec.Code == 200 && strings.Contains(rec.Body.String(), s.acme)
			}
		},
		"a session": func() (*http.Request, func(*httptest.ResponseRecorder) bool) {
			req := httptest.NewRequestWithContext(t.Context(), "GET", "/api/admin/clients", nil)
			req.Header.Set("Cookie", cookie)
			return req, is200
		},
		"a tenant's token": func() (*http.Request, func(*httptest.ResponseRecorder) bool) {
			return ask("GET", "/api/client/c1", token), is200
		},
		"a webhook": func() (*http.Request, func(*httptest.ResponseRecorder) bool) {
			return ask("POST", sink+"/test", s.acme), func(rec *httptest.ResponseRecorder) bool {
				return rec.Code == 200 && strings.Contains(rec.Body.String(), `"success":true`)
			}
		},
	}}
	serve := func(keys ...sealing.Key) func() error {
		return func() error {
			handler, _ := process(keys...)
			flow.handler.Store(&handler)
			return nil
		}
	}
	require.NoError(t, serve(old)())
	ctx, stop := context.WithCancel(t.Context())
	running := flow.run(ctx)
	defer running.Wait()
	defer stop()

	flow.during("nothing", func() error { return nil })
	flow.during("the new key is known", serve(old, fresh))
	flow.during("the new key seals", serve(fresh, old))
	flow.during("all is sealed anew", func() error {
		_, keys := process(fresh, old)
		done, err := (&accounts.Rekeying{DB: s.db, Keys: keys}).Rekey(t.Context(), "test")
		if err == nil && (done.Resealed < 3 || done.Unreadable > 0) {
			err = fmt.Errorf("not all is sealed anew: %+v", done)
		}
		return err
	})
	flow.during("people log in again, as they do each day", func() error {
		// Within the twelve hours of a session each browser has one that the new key signed.
		rec := submitTo(t, *flow.handler.Load())
		flow.held.Lock()
		defer flow.held.Unlock()
		cookie = rec
		return nil
	})
	flow.during("the old key is gone", serve(fresh))

	flow.during("a tenant has two tokens", func() error {
		_, second := s.credential(t, `{"kind":"tenant","name":"ci","scope":"read"}`)
		flow.held.Lock()
		defer flow.held.Unlock()
		token = second
		return nil
	})
	flow.during("the first one is revoked", func() error {
		return (&accounts.Credentials{DB: s.db}).Revoke(t.Context(), "c1", firstID, "test")
	})

	flow.during("the webhook signs twice", func() error {
		rec := httptest.NewRecorder()
		(*flow.handler.Load()).ServeHTTP(rec, ask("POST", sink+"/rotate", s.acme))
		if rec.Code != 200 {
			return fmt.Errorf("rotate: %d %s", rec.Code, rec.Body)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		_, after, _ := strings.Cut(rec.Body.String(), `"secret":"`)
		next, _, _ := strings.Cut(after, `"`)
		r.next = next
		return nil
	})
	flow.during("the receiver takes the new secret", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.secret = r.next
		return nil
	})
	flow.during("the secret before is forgotten", func() error {
		_, err := s.db.Pool.Exec(t.Context(), `UPDATE notification_sinks SET secret_before_until = now()`)
		return err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.wrong, "the receiver believed every delivery")
	require.Equal(t, 1, r.signatures)
}

// submitTo logs an operator in at one process.
func submitTo(t *testing.T, h http.Handler) string {
	t.Helper()
	rec := submit(t, h, "/login", map[string][]string{"token": {operatorToken}}, nil)
	require.Equal(t, http.StatusSeeOther, rec.Code, rec.Body)
	cookie, _, _ := strings.Cut(rec.Header().Get("Set-Cookie"), ";")
	return cookie
}
