package app

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"spotkeeper/internal/config"
	"spotkeeper/internal/domain/joining"
	"spotkeeper/internal/temporalx"
)

// The certificates that a process may have, as labels of a metric.
const (
	apiCertificate      = "api"             // that the api presents
	temporalCertificate = "temporal_client" // that Temporal is shown
	temporalAuthority   = "temporal_ca"     // that Temporal's is held against
	postgresCertificate = "postgres_client" // that Postgres is shown
	postgresAuthority   = "postgres_ca"     // that Postgres's is held against
	joinCertificate     = "join"            // AWS's, that instances prove themselves by
)

// settingsOf names what an operator changes for each.
var settingsOf = map[string]string{
	apiCertificate:      "API_TLS_CERT",
	temporalCertificate: "TEMPORAL_TLS_CLIENT_CERT_PATH",
	temporalAuthority:   "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
	postgresCertificate: "sslcert of DATABASE_URL",
	postgresAuthority:   "sslrootcert of DATABASE_URL",
	joinCertificate:     "JOIN_CERTIFICATES",
}

// expiresSoon is how long before its end a certificate is reported.
const expiresSoon = 14 * 24 * time.Hour

// certificates are those that a process presents or trusts, with the time at which each
// becomes invalid. Files are read at each look, because they are replaced while the process
// runs.
type certificates struct {
	desc *prometheus.Desc
	now  func() time.Time

	mu  sync.Mutex
	all []datedCertificate
}

type datedCertificate struct {
	name    string
	expires func() (time.Time, error)
}

func newCertificates() *certificates {
	return &certificates{now: time.Now, desc: prometheus.NewDesc("spotkeeper_certificate_expiry_timestamp_seconds",
		"When a certificate that the process presents or trusts becomes invalid, in Unix seconds; of a bundle of authorities the last.",
		[]string{"certificate"}, nil)}
}

// certificatesOf are those that the settings name. The api adds its own ones.
func certificatesOf(c config.Config, t temporalx.Options) *certificates {
	found := newCertificates()
	if of, err := url.Parse(c.Database.URL.Reveal()); err == nil {
		found.addFile(postgresCertificate, of.Query().Get("sslcert"), firstEnd)
		found.addFile(postgresAuthority, of.Query().Get("sslrootcert"), lastEnd)
	}
	client, authority := temporalx.CertificateFiles(t)
	found.addFile(temporalCertificate, client, firstEnd)
	found.addFile(temporalAuthority, authority, lastEnd)
	return found
}

// addFile adds a file of PEM; an empty name and the system's own authorities are none.
func (c *certificates) addFile(name, file string, end func([]*x509.Certificate) time.Time) {
	if file == "" || file == "system" {
		return
	}
	c.add(name, func() (time.Time, error) {
		content, err := os.ReadFile(file) //nolint:gosec // the operator's own settings name it
		if err != nil {
			return time.Time{}, err
		}
		chain, err := parseChain(content)
		if err != nil {
			return time.Time{}, fmt.Errorf("%s: %w", file, err)
		}
		return end(chain), nil
	})
}

// add adds a certificate, or replaces the one of that name.
func (c *certificates) add(name string, expires func() (time.Time, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.all {
		if c.all[i].name == name {
			c.all[i].expires = expires
			return
		}
	}
	c.all = append(c.all, datedCertificate{name, expires})
}

// addJoin adds AWS's certificates of regions; the first that ends counts.
func (c *certificates) addJoin(all joining.Certificates) {
	var first time.Time
	for _, one := range all {
		if first.IsZero() || one.NotAfter.Before(first) {
			first = one.NotAfter
		}
	}
	if !first.IsZero() {
		c.add(joinCertificate, func() (time.Time, error) { return first, nil })
	}
}

func (c *certificates) list() []datedCertificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]datedCertificate(nil), c.all...)
}

// Describe implements prometheus.Collector.
func (c *certificates) Describe(out chan<- *prometheus.Desc) { out <- c.desc }

// Collect implements prometheus.Collector. A file that cannot be read has no series; /ready
// names it.
func (c *certificates) Collect(out chan<- prometheus.Metric) {
	for _, one := range c.list() {
		if at, err := one.expires(); err == nil {
			out <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(at.Unix()), one.name)
		}
	}
}

// check fails when a certificate cannot be read, has expired, or will within two weeks.
func (c *certificates) check(context.Context) error {
	var found []string
	for _, one := range c.list() {
		at, err := one.expires()
		left := at.Sub(c.now())
		switch {
		case err != nil:
			found = append(found, fmt.Sprintf("The certificate of %s cannot be read: %v.", settingsOf[one.name], err))
		case left <= 0:
			found = append(found, fmt.Sprintf("The certificate of %s expired at %s: replace it.", settingsOf[one.name],
				at.UTC().Format(time.RFC3339)))
		case left < expiresSoon:
			found = append(found, fmt.Sprintf("The certificate of %s expires at %s: replace it.", settingsOf[one.name],
				at.UTC().Format(time.RFC3339)))
		}
	}
	if found == nil {
		return nil
	}
	return errors.New(strings.Join(found, " "))
}

var errNoCertificate = errors.New("there is no certificate in PEM in it")

func parseChain(content []byte) ([]*x509.Certificate, error) {
	var chain []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		one, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		chain = append(chain, one)
	}
	if chain == nil {
		return nil, errNoCertificate
	}
	return chain, nil
}

// firstEnd is the end of a chain: a link that has expired breaks it.
func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, one := range chain {
		if one.NotAfter.Before(end) {
			end = one.NotAfter
		}
	}
	return end
}

// lastEnd is the end of a bundle: while authorities are exchanged, the old one may expire.
func lastEnd(bundle []*x509.Certificate) time.Time {
	end := bundle[0].NotAfter
	for _, one := range bundle {
		if one.NotAfter.After(end) {
			end = one.NotAfter
		}
	}
	return end
}
