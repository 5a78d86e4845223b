package controlplane_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/controlplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, o controlplane.Options) *controlplane.Client {
	t.Helper()
	o.Version = "5.0.0"
	if o.Credential == nil {
		o.Credential = func(string) (string, error) { return "secret", nil }
	}
	c, err := controlplane.New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// listen is a server at one of the machine's own addresses, on a given port.
func listen(t *testing.T, address string, handler http.Handler) *httptest.Server {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}} //nolint:gosec // a test
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func TestNoticeReachesTheAddressThatWorks(t *testing.T) {
	t.Parallel()
	deadline := time.Date(2026, 11, 28, 16, 42, 7, 0, time.UTC)
	for name, broken := range map[string]http.HandlerFunc{
		"hangs":       func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"answers 502": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"answers a page": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>welcome</html>"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plane := boxtest.StartPlane(t)
			u, err := url.Parse(plane.URL)
			require.NoError(t, err)
			var asked atomic.Int64
			listen(t, "127.0.0.2:"+u.Port(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				// The server notices that its caller is gone once the body is read.
				_, _ = io.Copy(io.Discard, r.Body)
				broken(w, r)
			}))
			c := client(t, controlplane.Options{Base: "http://api.test:" + u.Port(), Hedge: 50 * time.Millisecond,
				Resolve: func(context.Context, string) ([]string, error) {
					return []string{"127.0.0.1",
						"127.0.0.2"}, nil
				}})
			for range 2 { // once the broken address is the first
				got, err := c.Terminating(t.Context(), "agent-1", "i-1", deadline, deadline.Add(-2*time.Minute), "stop")
				require.NoError(t, err)
				require.Equal(t, "replica_promoted", got.Action)
			}
			require.Positive(t, asked.Load())
			arrivals := plane.Arrivals("/api/agents/agent-1/termination-imminent")
			require.Len(t, arrivals, 2)
			require.Equal(t, "secret", arrivals[0].Token)
			require.Equal(t, map[string]any{
				"instance_id":      "i-1",
				"termination_time": "2026-11-28T16:42:07Z",
				"detected_at":      "2026-11-28T16:40:07Z",
				"action":           "stop",
			}, arrivals[0].Body)
		})
	}
}

// TestAnAddressThatHangsHoldsNothingUp: heartbeats arrive at once by the other address, and
// of two attempts to join, which go to one address each, one arrives.
func TestAnAddressThatHangsHoldsNothingUp(t *testing.T) {
	t.Parallel()
	plane := boxtest.StartPlane(t)
	plane.Answer(func(a boxtest.Arrival) (int, string) {
		if strings.HasPrefix(a.Path, controlplane.JoinPath) {
			return http.StatusCreated, `{"challenge":"c","agent_id":"agent-1","token":"spk-agent-1"}`
		}
		return 0, ""
	})
	u, err := url.Parse(plane.URL)
	require.NoError(t, err)
	listen(t, "127.0.0.2:"+u.Port(), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	c := client(t, controlplane.Options{Base: "http://api.test:" + u.Port(), Hedge: 50 * time.Millisecond,
		Resolve: func(context.Context, string) ([]string, error) { return []string{"127.0.0.1", "127.0.0.2"}, nil }})
	for range 2 {
		_, err := c.Heartbeat(t.Context(), "agent-1", controlplane.Heartbeat{})
		require.NoError(t, err)
	}
	joined := 0
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := c.JoinByRole(ctx, controlplane.Registration{}, "", controlplane.Signer{
			AccessKeyID: "ASIAEXAMPLEEXAMPLE01", Secret: "s", Region: "us-east-1", Domain: "amazonaws.com"})
		if err == nil {
			joined++
		}
		cancel()
	}
	require.Len(t, plane.Arrivals("/heartbeat"), 2)
	require.Equal(t, 1, joined)
	require.Len(t, plane.Arrivals("/join/aws-iam"), 1)
}

// TestAddressesAreRemembered: a name service that fails does not cut off what worked.
func TestAddressesAreRemembered(t *testing.T) {
	t.Parallel()
	plane := boxtest.StartPlane(t)
	u, err := url.Parse(plane.URL)
	require.NoError(t, err)
	var failing atomic.Bool
	c := client(t, controlplane.Options{
		Base: "http://api.test:" + u.Port(),
		Resolve: func(context.Context, string) ([]string, error) {
			if failing.Load() {
				return nil, errors.New("no such host")
			}
			return []string{"127.0.0.1"}, nil
		},
	})
	_, err = c.Register(t.Context(), controlplane.Registration{LogicalID: "web"})
	require.NoError(t, err)
	failing.Store(true)
	got, err := c.Register(t.Context(), controlplane.Registration{LogicalID: "web"})
	require.NoError(t, err)
	require.Equal(t, controlplane.Registered{AgentID: "agent-1", ClientID: "client-1"}, got)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	plane := boxtest.StartPlane(t)
	c := client(t, controlplane.Options{Base: plane.URL})
	for status, final := range map[int]bool{
		400: true,
		401: false,
		403: false,
		404: false,
		409: true,
		422: true,
		429: false,
		500: false,
		503: false,
	} {
		plane.Answer(func(boxtest.Arrival) (int, string) { return status, `{"error":"no","code":"agent.no"}` })
		_, err := c.Heartbeat(t.Context(), "agent-1", controlplane.Heartbeat{})
		require.True(t, controlplane.IsStatus(err, status), "%v", err)
		require.Equal(t, final, controlplane.Final(err), status)
		require.ErrorContains(t, err, "no")
	}
	plane.Answer(func(boxtest.Arrival) (int, string) { return 404, `<html>not here</html>` })
	_, err := c.Heartbeat(t.Context(), "agent-1", controlplane.Heartbeat{})
	require.Error(t, err)
	require.False(t, controlplane.Final(err), "another machine's page is no word of the control plane")
	plane.Answer(func(boxtest.Arrival) (int, string) { return 301, `` })
	_, err = c.Heartbeat(t.Context(), "agent-1", controlplane.Heartbeat{})
	require.Error(t, err, "a redirect would lose the body")
}
