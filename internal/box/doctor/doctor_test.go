package doctor_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/box/boxtest"
	"spotkeeper/internal/box/doctor"
	"spotkeeper/internal/box/settings"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := playRole(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// ill are the checks that fail, with what to do.
func ill(found []doctor.Finding) map[string]string {
	out := map[string]string{}
	for _, f := range found {
		if !f.OK {
			out[f.Check] = f.Mend
		}
	}
	return out
}

// TestExamine: each thing that can be wrong is named, with its cure, and nothing else is.
func TestExamine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil      func(t *testing.T, s *settings.Settings, meta *boxtest.IMDS, plane *boxtest.Plane)
		configured error
		check      string
		mend       string
	}{
		"nothing":       {},
		"configuration": {configured: errors.New("agent_id is missing"), check: "configuration", mend: "enrol"},
		"hop limit": {
			spoil: func(_ *testing.T, _ *settings.Settings, meta *boxtest.IMDS, _ *boxtest.Plane) {
				meta.Hang(
					"api/token")
			},
			check: "metadata service",
			mend:  "hop-limit 2",
		},
		"metadata switched off": {
			spoil: func(_ *testing.T, _ *settings.Settings, meta *boxtest.IMDS, _ *boxtest.Plane) {
				meta.RefuseTokens(http.StatusForbidden)
			},
			check: "metadata service",
			mend:  "http-endpoint enabled",
		},
		"clock": {spoil: func(_ *testing.T, _ *settings.Settings, meta *boxtest.IMDS, _ *boxtest.Plane) {
			meta.SetClock(time.Minute)
		},
			check: "clock against the metadata service", mend: "chrony"},
		"tag": {
			spoil: func(_ *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) { s.AgentID = "tag:app" },
			check: "agent id",
			mend:  "instance metadata tags",
		},
		"token": {spoil: func(_ *testing.T, _ *settings.Settings, _ *boxtest.IMDS, plane *boxtest.Plane) {
			plane.Answer(func(boxtest.Arrival) (int, string) {
				return http.StatusUnauthorized, `{"error":"Invalid token","code":"auth.invalid_token"}`
			})
		}, check: "control plane", mend: "spotkeeper-agent enrol"},
		"no token": {spoil: func(_ *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) {
			s.Join.Token, s.Join.TokenFile = "", "/no/such/file"
		},
			check: "token", mend: "enrol"},
		"no role": {
			spoil: func(_ *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) {
				s.Join.Method = settings.ByRole
			},
			check: "role of the instance",
			mend:  "join-rules",
		},
		"no document": {
			spoil: func(_ *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) {
				s.Join.Method = settings.ByDocument
			},
			check: "identity document",
			mend:  "aws-iam",
		},
		"no way": {
			spoil: func(_ *testing.T, _ *settings.Settings, _ *boxtest.IMDS, plane *boxtest.Plane) { plane.Close() },
			check: "control plane",
			mend:  "correct the port of api",
		},
		"hooks": {spoil: func(t *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) {
			t.Helper()
			path := filepath.Join(s.Hooks.Dir, "drain", "10-stop")
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, nil, 0o600))
		}, check: "hooks", mend: "executable"},
		"state": {spoil: func(_ *testing.T, s *settings.Settings, _ *boxtest.IMDS, _ *boxtest.Plane) {
			s.StateDir = "/no/such/directory"
		},
			check: "state directory", mend: "mkdir"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meta, plane := boxtest.StartIMDS(t, "i-1"), boxtest.StartPlane(t)
			dir := t.TempDir()
			s := settings.Default()
			s.API, s.AgentID, s.IMDS.Endpoint, s.IMDS.Timeout = plane.URL, "web", meta.URL, time.Second
			s.Join.Method, s.Join.Token = settings.ClientToken, "secret"
			s.StateDir, s.Hooks.Dir, s.Socket = dir, filepath.Join(dir, "hooks.d"), filepath.Join(dir, "agent.sock")
			if c.spoil != nil {
				c.spoil(t, &s, meta, plane)
			}
			found := ill(doctor.Examine(t.Context(), "/etc/spotkeeper/agent.yaml", s, c.configured, "5.0.0"))
			require.Contains(t, found["agent"], "systemctl enable", "no agent runs here")
			delete(found, "agent")
			if c.check == "" {
				require.Empty(t, found)
				return
			}
			require.Len(t, found, 1)
			require.Contains(t, found[c.check], c.mend)
		})
	}
}

// TestRegistration: the doctor asks the running agent whether it is registered, and why not.
func TestRegistration(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status string
		ok     bool
		found  string
		mend   string
	}{
		"registered": {status: `{"registered_as":"a1"}`, ok: true, found: "registered as a1"},
		"under way":  {status: `{"ready":{"ready":true}}`, ok: true, found: "is under way"},
		"waits":      {status: `{"ready":{"error":"503"}}`, ok: true, found: "waits until the workload is ready 503"},
		"a token that is used up": {status: `{"registration_error":"the token was used already; enrol with a new one"}`,
			found: "the token was used already", mend: "enrol with a new one"},
		"refused later": {status: `{"registered_as":"a1","heartbeat_error":"the token is no longer valid; enrol again"}`,
			found: "the token is no longer valid", mend: "enrol again"},
		"joins anew": {status: `{"registered_as":"a1","registration_error":"no route; correct api"}`,
			found: "no route", mend: "correct api"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "doctor")
			require.NoError(t, err)
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
			s := settings.Default()
			s.Socket = filepath.Join(dir, "agent.sock")
			listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", s.Socket)
			require.NoError(t, err)
			server := &http.Server{ReadHeaderTimeout: time.Second,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, c.status) })}
			go func() { _ = server.Serve(listener) }()
			t.Cleanup(func() { _ = server.Close() })
			s.IMDS.Endpoint, s.IMDS.Timeout = boxtest.StartIMDS(t, "i-1").URL, time.Second
			var got []doctor.Finding
			for _, f := range doctor.Examine(t.Context(), "agent.yaml", s, errors.New("not of interest here"), "5.0.0") {
				if f.Check == "registration" {
					got = append(got, f)
				}
			}
			require.Len(t, got, 1)
			require.Equal(t, c.ok, got[0].OK, got[0])
			require.Contains(t, got[0].Found, c.found)
			require.Equal(t, c.mend, got[0].Mend)
		})
	}
}
