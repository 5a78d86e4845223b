package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Transport says which ways out of the process may be open to readers.
type Transport struct {
	Insecure []string `env:"INSECURE_TRANSPORT" doc:"ways that may go without TLS, or without checking who answers, although they leave this machine: postgres, temporal, or both with a comma between them; for networks that encrypt by themselves"`
}

// Ways that INSECURE_TRANSPORT may name.
const (
	ToPostgres = "postgres"
	ToTemporal = "temporal"
)

func (t Transport) problems() (problems []error) {
	for _, way := range t.Insecure {
		if way != ToPostgres && way != ToTemporal {
			problems = append(problems, fmt.Errorf("INSECURE_TRANSPORT names %s and %s, not %q", ToPostgres, ToTemporal, way))
		}
	}
	return problems
}

// Allows says whether a way may go without TLS.
func (t Transport) Allows(way string) bool { return slices.Contains(t.Insecure, way) }

// CheckDatabase refuses a way to Postgres that others can read, or on which another server
// could answer: off this machine TLS is wanted, with the name and the chain of the
// server's certificate checked (sslmode=verify-full). Each host of the URL counts.
func (c Config) CheckDatabase() error {
	if c.Transport.Allows(ToPostgres) {
		return nil
	}
	parsed, err := pgconn.ParseConfig(c.Database.URL.Reveal())
	if err != nil {
		return nil //nolint:nilerr // who connects says what is wrong with the URL
	}
	ways := []*pgconn.FallbackConfig{{Host: parsed.Host, TLSConfig: parsed.TLSConfig}}
	for _, way := range append(ways, parsed.Fallbacks...) {
		local := strings.HasPrefix(way.Host, "/") || isLoopback(way.Host)
		if !local && (way.TLSConfig == nil || way.TLSConfig.InsecureSkipVerify) {
			return fmt.Errorf("DATABASE_URL goes to %s and may be read or answered by others on the way: add "+
				"sslmode=verify-full to it (and sslrootcert=file for a private authority), or say "+
				"INSECURE_TRANSPORT=postgres where the network encrypts by itself", way.Host)
		}
	}
	return nil
}

// CheckTemporal refuses an address of Temporal off this machine without TLS.
func (c Config) CheckTemporal(address string, encrypted bool) error {
	host := address
	if at := strings.LastIndex(host, "///"); at >= 0 { // dns:///host:port
		host = host[at+len("///"):]
	}
	if at := strings.LastIndexByte(host, ':'); at >= 0 {
		host = host[:at]
	}
	if encrypted || c.Transport.Allows(ToTemporal) || isLoopback(host) || strings.HasPrefix(address, "unix:") {
		return nil
	}
	return fmt.Errorf("TEMPORAL_ADDRESS is %s, and the way there is not encrypted: set TEMPORAL_TLS=true (and "+
		"TEMPORAL_TLS_* for certificates of your own), or say INSECURE_TRANSPORT=temporal where the network encrypts "+
		"by itself", address)
}
