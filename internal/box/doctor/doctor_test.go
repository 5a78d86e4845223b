package doctor_test

import (
	"errors"
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

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
