package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
)

// Trouble is why the control plane was not reached or refused, for the person at the instance.
type Trouble struct {
	Found string // what is wrong
	Mend  string // what to do about it
	err   error
}

func (t *Trouble) Error() string { return t.Found + "; " + t.Mend }

// Unwrap gives the error that the trouble explains.
func (t *Trouble) Unwrap() error { return t.err }

// pageError is an answer that is not the control plane's.
type pageError struct {
	path     string
	status   int
	location string // where it redirects to
}

func (e *pageError) Error() string {
	if e.location != "" {
		return fmt.Sprintf("something between here and the control plane answered %d: go to %s", e.status, e.location)
	}
	if e.status < http.StatusMultipleChoices {
		return fmt.Sprintf("%s answered %d with something that is not JSON", e.path, e.status)
	}
	return fmt.Sprintf("something between here and the control plane answered %d", e.status)
}

// Explain says what an error of a call to base means, and what to do about it.
func Explain(base string, err error) *Trouble {
	host := base
	if u, parsed := url.Parse(base); parsed == nil && u.Host != "" {
		host = u.Host
	}
	found, mend := explain(base, host, err)
	return &Trouble{Found: found, Mend: mend, err: err}
}

func explain(base, host string, err error) (found, mend string) {
	if refused, ok := errors.AsType[*Refusal](err); ok {
		return explainRefusal(base, refused)
	}
	if page, ok := errors.AsType[*pageError](err); ok {
		return explainPage(base, page)
	}
	if found, mend = explainCertificate(host, err); found != "" {
		return found, mend
	}
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &op) && op.Op == "proxyconnect":
		return "the proxy of HTTPS_PROXY or HTTP_PROXY is not reached: " + op.Err.Error(),
			"correct the variable, or list " + host + " in NO_PROXY; the service reads both from /etc/spotkeeper/agent.env"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s is not known here", dns.Name), "correct api, or the name service of this network"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at " + host, "correct the port of api, or start the control plane"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return host + " does not answer", "open the way to it from this instance: security group, route, or a proxy by HTTPS_PROXY"
	case errors.Is(err, os.ErrNotExist):
		return err.Error(), "enrol again: spotkeeper-agent enrol"
	}
	return err.Error(), "open the way to " + base + " from this instance: security group, route, proxy, certificate (ca_file)"
}

func explainRefusal(base string, r *Refusal) (found, mend string) {
	found = fmt.Sprintf("the control plane answered %d %s: %s", r.Status, r.Code, strings.TrimSuffix(r.Text, "."))
	switch {
	case strings.HasPrefix(r.Code, "join."):
		return found, "put the instance's role on the client's list (PUT /api/client/<client_id>/join-rules), or enrol with a token"
	case r.Status == http.StatusUnauthorized:
		return found, "the token is not, or no longer, one of " + base + ": make a new one, and run spotkeeper-agent enrol"
	case r.Code == "credentials.not_for_this":
		return found, "the token is for another agent or of another kind: make one for this agent_id, and run spotkeeper-agent enrol"
	case r.Status >= http.StatusInternalServerError, r.Status == http.StatusTooManyRequests:
		return found, "it is tried again; the control plane's /ready says what is away"
	}
	return found, "correct what the control plane names"
}

func explainPage(base string, page *pageError) (found, mend string) {
	switch {
	case page.location != "":
		return fmt.Sprintf("%s answers %d and names another address, %s", base, page.status, page.location),
			"use the address that serves the api itself, with https:// where it asks for that"
	case page.status == http.StatusBadRequest && strings.HasPrefix(base, "http://"):
		return base + " answers 400 to HTTP", "write https:// if the control plane speaks TLS there"
	case page.status >= http.StatusInternalServerError:
		return page.Error(), "a load balancer has no control plane behind it: look at its targets"
	}
	return fmt.Sprintf("%s answers %d, but not as a control plane does", base, page.status),
		"correct api: it is the address without a path, such as https://spotkeeper.example.com; or a proxy or login page answers in its place"
}

func explainCertificate(host string, err error) (found, mend string) {
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &unknown):
		return "the certificate of " + host + " is signed by an authority that this instance does not know",
			"give the authority's certificate: ca_file in the configuration, or enrol --ca-file FILE"
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate at %s is not one for %s", host, name.Host),
			"use the name that the certificate has, or correct the certificate"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate of " + host + " has expired or is not valid yet",
			"renew it; if it is new, set the clock of this instance (chrony)"
	case errors.As(err, &record), err != nil && strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return host + " does not speak TLS", "write http:// if that is meant, or correct the port"
	}
	return "", ""
}
