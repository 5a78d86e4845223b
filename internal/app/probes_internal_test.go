package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/postgrestest"
	"spotkeeper/workflows"
)

// openedBy is the product with settings, beside a Temporal that is away.
func openedBy(t *testing.T, settings map[string]string) *App {
	t.Helper()
	all := map[string]string{"EC2_SIMULATED": "true", "ARTIFACTS_URL": t.TempDir()}
	for k, v := range settings {
		all[k] = v
	}
	c, err := config.Load(all)
	require.NoError(t, err)
	a, err := Open(t.Context(), c, Options{Log: slog.New(slog.DiscardHandler),
		Temporal: temporalx.Options{Address: "127.0.0.1:1", Namespace: "ours"}})
	require.NoError(t, err)
	t.Cleanup(a.Close)
	return a
}

// failures are the sentences of /ready by check.
func failures(t *testing.T, h http.Handler) (status int, said map[string]string) {
	t.Helper()
	status, page := says(t, h)
	var out struct {
		Checks map[string]struct {
			OK    bool
			Error string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(page), &out), page)
	said = map[string]string{}
	for name, one := range out.Checks {
		if !one.OK {
			said[name] = one.Error
		}
	}
	return status, said
}

// TestReadyNamesTheCause: of a database and of Temporal, in a sentence that says what to
// change. A worker that waits says as much as an api.
func TestReadyNamesTheCause(t *testing.T) {
	t.Parallel()

	own := postgrestest.URL(t)
	do := func(statement string) {
		db, err := pgx.Connect(t.Context(), own)
		require.NoError(t, err)
		defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
		_, err = db.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	named := func(change func(*pgx.ConnConfig)) string {
		cfg, err := pgx.ParseConfig(own)
		require.NoError(t, err)
		change(cfg)
		return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", cfg.Host, cfg.Port, cfg.User, cfg.Database)
	}
	role := fmt.Sprintf("stranger_%d", time.Now().UnixNano())
	do("CREATE ROLE " + role + " LOGIN")
	reader := fmt.Sprintf("reader_%d", time.Now().UnixNano())
	do("CREATE ROLE " + reader + " LOGIN SUPERUSER; ALTER ROLE " + reader + " SET default_transaction_read_only = on")
	t.Cleanup(func() {
		db, err := pgx.Connect(context.WithoutCancel(t.Context()), own)
		if err == nil {
			_, _ = db.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+role+"; DROP ROLE "+reader)
			_ = db.Close(context.WithoutCancel(t.Context()))
		}
	})
	for name, c := range map[string]struct {
		url  string
		says map[string]string // parts of sentences by check
	}{
		"nothing listens": {
			url:  named(func(c *pgx.ConnConfig) { c.Host, c.Port = "127.0.0.1", 1 }),
			says: map[string]string{"postgres": "Nothing answers at 127.0.0.1:1: connect: connection refused."},
		},
		"no such database": {
			url:  named(func(c *pgx.ConnConfig) { c.Database = "nowhere" }),
			says: map[string]string{"postgres": "has no such database"},
		},
		"a server that only reads": {
			url:  named(func(c *pgx.ConnConfig) { c.User = reader }),
			says: map[string]string{"postgres": "it is a standby, or read-only by a setting"},
		},
		"a user without privileges": {
			url:  named(func(c *pgx.ConnConfig) { c.User = role }),
			says: map[string]string{"schema": "lacks a privilege (permission denied for table goose_db_version)"},
		},
		"a database without tables": {
			url:  named(func(c *pgx.ConnConfig) { c.Database = "template1" }),
			says: map[string]string{"schema": "run `spotkeeper-worker migrate`"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := openedBy(t, map[string]string{"DATABASE_URL": c.url})
			for kind, pages := range map[string]http.Handler{"api": a.apiPages(), "worker": a.workerPages()} {
				status, said := failures(t, pages)
				require.Equal(t, http.StatusServiceUnavailable, status)
				for check, part := range c.says {
					require.Contains(t, said[check], part, kind)
				}
				require.Contains(t, said["temporal"], "connection refused")
				if kind == "worker" {
					require.Contains(t, said["polling"], "has not begun to poll")
				}
				expected := len(c.says) + 1
				if kind == "worker" {
					expected++
				}
				require.Len(t, said, expected, "one cause has one sentence: %v", said)
			}
		})
	}
}

// freeAddress is one on loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

// TestAWorkerThatWaitsAnswers: its pages are there before its dependencies are.
func TestAWorkerThatWaitsAnswers(t *testing.T) {
	t.Parallel()

	a := openedBy(t, map[string]string{"DATABASE_URL": "postgres://nobody@127.0.0.1:1/none?sslmode=disable"})
	a.Config.Worker.MetricsListen = freeAddress(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.RunWorker(ctx) }()
	client := &http.Client{Timeout: time.Minute}
	get := func(path string) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Config.Worker.MetricsListen+path, http.NoBody)
		require.NoError(t, err)
		r.Close = true
		resp, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	require.Eventually(t, func() bool {
		code, err := get("/ready")
		return err == nil && code == http.StatusServiceUnavailable
	}, time.Minute, 20*time.Millisecond)
	code, err := get("/health")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code, "an orchestrator does not restart a worker that waits")
	stop()
	require.NoError(t, <-ended)
}

// TestANewerSchemaIsNamed, and the process stays ready: this is how upgrades look.
func TestANewerSchemaIsNamed(t *testing.T) {
	t.Parallel()

	url := postgrestest.URL(t)
	a := openedBy(t, map[string]string{"DATABASE_URL": url})
	require.NoError(t, a.checkSchemaAhead(t.Context()))
	_, err := a.DB.Pool.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9001, true), (9002, true)`)
	require.NoError(t, err)
	require.ErrorContains(t, a.checkSchemaAhead(t.Context()), "2 migrations newer than this program")
	require.NoError(t, a.checkSchema(t.Context()))
}

// TestAClockThatJumpedIsNamed, in both directions; a clock that is right is not.
func TestAClockThatJumpedIsNamed(t *testing.T) {
	t.Parallel()

	a := openedBy(t, map[string]string{"DATABASE_URL": postgrestest.URL(t)})
	require.NoError(t, a.checkClock(t.Context()))
	for by, says := range map[time.Duration]string{time.Hour: "ahead of the database's", -time.Hour: "behind the database's"} {
		a.now = func() time.Time { return time.Now().Add(by) }
		require.ErrorContains(t, a.checkClock(t.Context()), says)
	}
}

// TestRowsOfAnotherInstallationAreNotStarted: an api whose database and namespace belong to
// two installations passes over nothing until they fit.
func TestRowsOfAnotherInstallationAreNotStarted(t *testing.T) {
	t.Parallel()

	asked, other := 0, temporalx.OtherInstallation.New("it belongs to another one")
	rows := &ownRows{tie: func(context.Context) (bool, error) { asked++; return false, other }, rows: &activities.OpenRows{}}
	_, err := rows.Sweep(t.Context()) // it would panic if it came to the rows
	require.True(t, fault.Is(err, temporalx.OtherInstallation))

	a := openedBy(t, map[string]string{"DATABASE_URL": postgrestest.URL(t)})
	store := a.newSweep().Rows.(*ownRows)
	store.tie = func(context.Context) (bool, error) { asked++; return true, nil }
	asked = 0
	for range 2 {
		_, err = store.Sweep(t.Context())
		require.NotEqual(t, temporalx.OtherInstallation, fault.CodeOf(err))
	}
	require.Equal(t, 1, asked, "what is known is not asked again")
	known, err := a.tieOf(t.Context())
	require.NoError(t, err, "Temporal is away, which its own probe says")
	require.False(t, known)
	require.Equal(t, workflows.Unreachable, fault.CodeOf(a.Workflows.Ping(t.Context())))
}

// written is a file with certificates that end at the given times.
func written(t *testing.T, ends ...time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	var out []byte
	for i, end := range ends {
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotBefore: end.Add(-time.Hour), NotAfter: end}
		raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		require.NoError(t, err)
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})...)
	}
	file := filepath.Join(t.TempDir(), "chain.pem")
	require.NoError(t, os.WriteFile(file, out, 0o600))
	return file
}

// TestCertificatesThatExpireAreNamed two weeks before, with the setting that names the file.
func TestCertificatesThatExpireAreNamed(t *testing.T) {
	t.Parallel()

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for name, c := range map[string]struct {
		file string
		end  func([]*x509.Certificate) time.Time
		says string
	}{
		"far":                            {written(t, day(90)), firstEnd, ""},
		"soon":                           {written(t, day(10)), firstEnd, "sslcert of DATABASE_URL expires at 2026-01-11T00:00:00Z"},
		"expired":                        {written(t, day(-1)), firstEnd, "sslcert of DATABASE_URL expired at 2025-12-31T00:00:00Z"},
		"a chain whose second link ends": {written(t, day(90), day(3)), firstEnd, "expires at 2026-01-04"},
		"a bundle with an old authority": {written(t, day(-3), day(90)), lastEnd, ""},
		"no certificate":                 {written(t), firstEnd, "there is no certificate in PEM"},
		"no file":                        {filepath.Join(t.TempDir(), "none"), firstEnd, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := newCertificates()
			found.now = func() time.Time { return now }
			found.addFile(postgresCertificate, c.file, c.end)
			err := found.check(t.Context())
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.says)
		})
	}
}

// TestCertificatesOfTheSettings: each file that a process is given counts.
func TestCertificatesOfTheSettings(t *testing.T) {
	t.Parallel()

	file := written(t, time.Now().Add(time.Hour))
	variables := map[string]string{"TEMPORAL_TLS": "true", "TEMPORAL_TLS_CLIENT_CERT_PATH": file,
		"TEMPORAL_TLS_CLIENT_KEY_PATH": file, "TEMPORAL_TLS_SERVER_CA_CERT_PATH": file}
	settings := config.Config{}
	settings.Database.URL = config.Secret("postgres://u@h/d?sslmode=verify-full&sslcert=" + file + "&sslrootcert=" + file)
	found := certificatesOf(settings, temporalx.Options{Env: lookup(variables)})
	var names []string
	for _, one := range found.list() {
		names = append(names, one.name)
		_, err := one.expires()
		require.NoError(t, err, one.name)
		require.NotEmpty(t, settingsOf[one.name])
	}
	require.ElementsMatch(t, []string{postgresCertificate, postgresAuthority, temporalCertificate, temporalAuthority}, names)
	require.Error(t, found.check(t.Context()))
}

// lookup reads variables of a test.
type lookup map[string]string

// LookupEnv implements envconfig.EnvLookup.
func (l lookup) LookupEnv(name string) (value string, given bool) {
	value, given = l[name]
	return value, given
}

// Environ implements envconfig.EnvLookup.
func (l lookup) Environ() (all []string) {
	for k, v := range l {
		all = append(all, k+"="+v)
	}
	return all
}

// TestTemporalsRefusalsAreSentences: of a key that was revoked, and of a certificate.
func TestTemporalsRefusalsAreSentences(t *testing.T) {
	t.Parallel()

	require.Equal(t, "The workflow service refuses calls for the namespace ours: Request unauthorized.",
		sayTemporal(workflows.Unreachable.Wrap(errors.New("Request unauthorized."), "the workflow service refuses calls for the namespace ours")))
	require.Contains(t, sayTemporal(workflows.Unreachable.Wrap(errors.New("x509: certificate has expired"), "the workflow service is not available")),
		"Temporal's certificate, or ours, is not accepted: x509: certificate has expired")
}
