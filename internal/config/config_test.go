package config_test

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/operators"
)

var update = flag.Bool("update", false, "rewrite golden files")

func TestDefaultsAreUsable(t *testing.T) {
	t.Parallel()

	c, err := config.Load(map[string]string{"DATABASE_URL": "postgres://u:secret@h/d"})
	require.NoError(t, err)
	require.NoError(t, c.CheckSafety())
	require.True(t, c.API.Loopback())
	require.NotContains(t, fmt.Sprintf("%v %+v", c, c), "secret")
	require.Equal(t, "control", c.Temporal.Queue)
}

func TestEveryProblemIsReportedTogether(t *testing.T) {
	t.Parallel()

	_, err := config.Load(map[string]string{
		"API_LISTEN":   "nowhere",
		"SECRET_KEY":   "short",
		"LOG_FORMAT":   "xml",
		"ADMIN_TOKEN":  "tiny",
		"CORS_ORIGINS": "*",
	})
	for _, name := range []string{"DATABASE_URL", "API_LISTEN", "SECRET_KEY", "LOG_FORMAT", "ADMIN_TOKEN",
		"CORS_ORIGINS"} {
		require.ErrorContains(t, err, name)
	}
}

func TestAnOpenDeploymentIsRefused(t *testing.T) {
	t.Parallel()

	c, err := config.Load(map[string]string{"DATABASE_URL": "postgres://h/d", "API_LISTEN": "0.0.0.0:5000"})
	require.NoError(t, err)
	require.ErrorContains(t, c.CheckSafety(), "ADMIN_TOKEN")
	require.ErrorContains(t, c.CheckSafety(), "SECRET_KEY")
	c.API.Listen = "127.0.0.1:5000"
	require.NoError(t, c.CheckSafety(), "this machine alone")
}

// TestHostsOfThisMachine: on loopback a request is for this machine by name.
func TestHostsOfThisMachine(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"localhost", "127.0.0.1", "::1"}, config.API{Listen: "127.0.0.1:5000"}.KnownHosts())
	require.Nil(t, config.API{Listen: "0.0.0.0:5000"}.KnownHosts(),
		"behind a balancer it is for whatever that is called")
	require.Contains(t, config.API{
		Listen: "0.0.0.0:5000",
		Hosts:  []string{"api.example.com"},
	}.KnownHosts(), "api.example.com")
}

// TestOwnHosts: an agent that is configured with a name of loopback joins there alone.
func TestOwnHosts(t *testing.T) {
	t.Parallel()
	require.Contains(t, config.API{Listen: "127.0.0.1:5000"}.OwnHosts(), "127.0.0.1")
	require.Empty(t, config.API{Listen: "0.0.0.0:5000"}.OwnHosts())
	require.Equal(t, []string{"api.example.com"},
		config.API{Listen: "0.0.0.0:5000", Hosts: []string{"api.example.com"}}.OwnHosts())
}

func TestOperatorsHaveNames(t *testing.T) {
	t.Parallel()

	ops, err := config.API{AdminTokens: "ann=0123456789abcdef, bob:viewer=fedcba9876543210"}.Operators()
	require.NoError(t, err)
	require.Equal(t, map[string]operators.Account{
		"ann": {Token: "0123456789abcdef", Role: operators.Admin},
		"bob": {Token: "fedcba9876543210", Role: operators.Viewer},
	}, ops)

	_, err = config.API{AdminTokens: "ann=0123456789abcdef,ann=fedcba9876543210"}.Operators()
	require.ErrorContains(t, err, "twice")
	_, err = config.API{AdminTokens: "ann:root=0123456789abcdef"}.Operators()
	require.ErrorContains(t, err, "role")
	_, err = config.API{AdminTokens: "ann=0123456789abcdef,bob:viewer=0123456789abcdef"}.Operators()
	require.ErrorContains(t, err, "same token", "whose role would count")
	_, err = config.API{AdminTokens: "a\u200bnn=0123456789abcdef"}.Operators()
	require.ErrorContains(t, err, "not shown")
	_, err = config.API{AdminTokens: ":viewer=0123456789abcdef"}.Operators()
	require.ErrorContains(t, err, "no name")
}

func TestDocumentIsCurrent(t *testing.T) {
	t.Parallel()

	golden := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(config.Document()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), config.Document(), "run `make generate`")
}

func TestProblemsNameTheVariable(t *testing.T) {
	t.Parallel()

	_, err := config.Load(map[string]string{
		"DATABASE_URL":  "postgres://h/d",
		"LOG_LEVEL":     "loud",
		"NOTICE_WAIT":   "soon",
		"ENGINE_PYTHON": "yes",
	})
	require.ErrorContains(t, err, `LOG_LEVEL cannot be read: slog: level string "loud": unknown name`)
	require.ErrorContains(t, err, `NOTICE_WAIT cannot be read: unable to parse duration: time: invalid duration "soon"`)
	require.ErrorContains(t, err, `ENGINE_PYTHON must be on, off or unsafe, not "yes"`)
	require.NotContains(t, err.Error(), "slog.Level")
}

func TestMisspeltVariablesAreNamed(t *testing.T) {
	t.Parallel()

	require.Equal(t, []string{"TEMPORAL_AD" + "RESS is not a setting: is TEMPORAL_ADDRESS meant?"}, config.Misspelt([]string{
		"TEMPORAL_AD" + "RESS=temporal:7233", "TEMPORAL_ADDRESS=temporal:7233", "PATH=/bin", "DATABASE_URL=x", "HOME=/",
	}))
}

// TestAProviderIsConfiguredSafely: settings with which every person or no person could
// log in are refused at the start.
func TestAProviderIsConfiguredSafely(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"DATABASE_URL":      "postgres://h/d",
		"SECRET_KEY":        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"OIDC_ISSUER":       "https://login.example.com",
		"OIDC_CLIENT_ID":    "spotkeeper",
		"OIDC_REDIRECT_URL": "https://console.example.com/login/oidc/callback",
		"OIDC_ADMIN_GROUPS": "platform, root",

		"OIDC_VIEWER_GROUPS": "staff,platform",
	}
	load := func(change map[string]string) error {
		all := maps.Clone(good)
		maps.Copy(all, change)
		c, err := config.Load(all)
		return errors.Join(err, c.CheckSafety())
	}
	require.NoError(t, load(nil))
	require.NoError(t, load(map[string]string{"API_LISTEN": "0.0.0.0:5000"}), "it stands in for ADMIN_TOKEN")
	require.NoError(t, load(map[string]string{"OIDC_ISSUER": "http://127.0.0.1:5556"}), "on this machine")
	c, err := config.Load(good)
	require.NoError(t, err)
	require.Equal(t, map[string]operators.Role{
		"platform": operators.Admin, "root": operators.Admin, "staff": operators.Viewer,
	}, c.OIDC.Roles())
	for name, change := range map[string]map[string]string{
		"OIDC_ISSUER must be":         {"OIDC_ISSUER": "http://login.example.com"},
		"OIDC_ISSUER is needed":       {"OIDC_ISSUER": ""},
		"OIDC_CLIENT_ID":              {"OIDC_CLIENT_ID": ""},
		"OIDC_REDIRECT_URL must be":   {"OIDC_REDIRECT_URL": "http://console.example.com/login/oidc/callback"},
		"OIDC_REDIRECT_URL must have": {"OIDC_REDIRECT_URL": "https://console.example.com/callback"},
		"openid":                      {"OIDC_SCOPES": "email"},
		"needs a group":               {"OIDC_ADMIN_GROUPS": "", "OIDC_VIEWER_GROUPS": " ,"},
		"SECRET_KEY":                  {"SECRET_KEY": ""},
	} {
		require.ErrorContains(t, load(change), name)
	}
}

// TestWaysOutAreEncrypted: off this machine, Postgres and Temporal are reached by TLS, or
// by name without it.
func TestWaysOutAreEncrypted(t *testing.T) {
	t.Parallel()
	for url, safe := range map[string]bool{
		"postgres://u@127.0.0.1/d":                                       true,
		"postgres://u@localhost/d?sslmode=disable":                       true,
		"postgres://u@/d?host=/run/postgresql":                           true,
		"postgres://u@db.example.com/d":                                  false, // prefer
		"postgres://u@db.example.com/d?sslmode=disable":                  false,
		"postgres://u@db.example.com/d?sslmode=require":                  false,
		"postgres://u@db.example.com/d?sslmode=verify-ca":                false,
		"postgres://u@db.example.com/d?sslmode=verify-full":              true,
		"postgres://u@127.0.0.1,db.example.com/d":                        false,
		"postgres://u@a.example.com,b.example.com/d?sslmode=verify-full": true,
		"host=db.example.com user=u sslmode=verify-full":                 true,
	} {
		c := config.Config{Database: config.Database{URL: config.Secret(url)}}
		require.Equal(t, safe, c.CheckDatabase() == nil, url)
		c.Transport.Insecure = []string{"postgres"}
		require.NoError(t, c.CheckDatabase())
	}
	var c config.Config
	for address, safe := range map[string]bool{
		"127.0.0.1:7233":           true,
		"localhost:7233":           true,
		"[::1]:7233":               true,
		"unix:/run/temporal":       true,
		"temporal:7233":            false,
		"dns:///temporal:7233":     false,
		"10.0.0.7:7233":            false,
		"localhost.example.com:72": false,
	} {
		require.Equal(t, safe, c.CheckTemporal(address, false) == nil, address)
		require.NoError(t, c.CheckTemporal(address, true))
	}
	c.Transport.Insecure = []string{"temporal"}
	require.NoError(t, c.CheckTemporal("temporal:7233", false))
	_, err := config.Load(map[string]string{"DATABASE_URL": "postgres://h/d", "INSECURE_TRANSPORT": "all"})
	require.ErrorContains(t, err, "INSECURE_TRANSPORT")
	_, err = config.Load(map[string]string{"DATABASE_URL": "postgres://h/d", "API_TLS_CERT": "x"})
	require.ErrorContains(t, err, "API_TLS_KEY")
}
