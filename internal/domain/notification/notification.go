// Package notification decides who is notified of what: the severity of a notification,
// the sinks that deliver it outside the product, how a delivery is signed, and when a
// failed one is tried again. It is pure.
package notification

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	SinkNotFound = fault.Define("sink.not_found", fault.NotFound)
	BadSink      = fault.Define("sink.invalid", fault.Invalid)
	TooManySinks = fault.Define("sink.too_many", fault.Conflict)
	ForbiddenTo  = fault.Define("sink.forbidden_address", fault.Invalid)
	NotDelivered = fault.Define("sink.not_delivered", fault.Unavailable)
)

// Severity is how grave a notification is.
type Severity string

// Severities, from harmless to grave.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Error    Severity = "error"
	Critical Severity = "critical"
)

var severities = []Severity{Info, Warning, Error, Critical}

// From lists the severities that are at least as grave.
func (s Severity) From() []Severity {
	i := slices.Index(severities, s)
	if i < 0 {
		return nil
	}
	return severities[i:]
}

// Kind is the transport of a sink.
type Kind string

// Kinds. What is in the table is read by pages and needs no sink.
const (
	Webhook Kind = "webhook"
	Log     Kind = "log" // the worker's log, for collectors that watch it
)

// MaxSinks is how many sinks a client may have.
const MaxSinks = 20

// NewNotification is the input of creating a sink.
type NewNotification struct {
	Kind        Kind
	URL         string
	MinSeverity Severity // empty: warning
}

// Normalize fills in what is missing and judges the rest. Fails with sink.invalid
// and sink.forbidden_address.
func (n *NewNotification) Normalize(allowed []netip.Prefix) error {
	if n.MinSeverity == "" {
		n.MinSeverity = Warning
	}
	if n.MinSeverity.From() == nil {
		return BadSink.New("%q is no severity: it is info, warning, error or critical", n.MinSeverity)
	}
	switch n.Kind {
	case Log:
		n.URL = ""
		return nil
	case Webhook:
	default:
		return BadSink.New("%q is no kind of sink: it is webhook or log", n.Kind)
	}
	u, err := url.Parse(n.URL)
	switch {
	case err != nil || len(n.URL) > 2048 || u.Hostname() == "" ||
		strings.ContainsFunc(n.URL, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return BadSink.New("A webhook needs the whole URL that it goes to")
	case u.Scheme != "https" && u.Scheme != "http":
		return BadSink.New("A webhook goes to http or https, not to %q", u.Scheme)
	case u.User != nil:
		return BadSink.New("A webhook's URL carries no password: deliveries are signed")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "127.0.0.1"
	}
	if addr, err := netip.ParseAddr(host); err == nil && !Reachable(addr, allowed) {
		return forbidden(host)
	}
	return nil
}

func forbidden(host string) error {
	return ForbiddenTo.New("A webhook may not go to %s: it is an address inside of this network", host)
}

// private are networks of machines and clouds that are not the public internet
// and that netip has no name for.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// publicV6 is the only part of IPv6 that is given to the public internet. Outside of it are
// old site-local addresses, and addresses that a gateway translates into one of IPv4.
// https://www.iana.org/assignments/ipv6-address-space/ipv6-address-space.xhtml
var publicV6 = netip.MustParsePrefix("2000::/3")

// Reachable says whether a webhook may go to an address: to the public internet,
// and to networks that the deployment allows. The rest, such as the metadata
// service of a cloud, would answer our machine what it answers no other host.
func Reachable(addr netip.Addr, allowed []netip.Prefix) bool {
	addr = addr.Unmap().WithZone("")
	for _, p := range allowed {
		if p.Contains(addr) {
			return true
		}
	}
	if addr.Is6() && !publicV6.Contains(addr) {
		return false
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() {
		return false
	}
	return !slices.ContainsFunc(private, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// SecretPrefix begins every secret of a webhook, as the receivers' libraries want
// it.
const SecretPrefix = "whsec_"

// NewSecret makes a secret of 32 random bytes.
func NewSecret(random io.Reader) (string, error) {
	key := make([]byte, 32)
	if _, err := io.ReadFull(random, key); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return SecretPrefix + base64.StdEncoding.EncodeToString(key), nil
}

// MaxAttempts is how often a delivery is tried before it is given up: with the
// waits between, for two days.
const MaxAttempts = 16

// BackOff is how long to wait after a number of failures in a row.
func BackOff(failures int) time.Duration {
	const first, longest = 10 * time.Second, 6 * time.Hour
	if failures < 1 {
		return 0
	}
	if failures > 12 {
		return longest
	}
	return min(first<<(failures-1), longest)
}
