// Package webhook sends notifications to a tenant's own server. The tenant names
// the server, so what it is may be anything: the address is judged after its name
// was resolved, nothing is followed, and nothing of the answer is believed but its
// status.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/notification"
)

// Sender posts deliveries.
type Sender struct {
	client *http.Client
	now    func() time.Time
}

// within is how long one delivery may take.
const within = 10 * time.Second

// New makes a sender that goes to the public internet and to the networks given.
func New(allowed []netip.Prefix) *Sender {
	dialer := &net.Dialer{
		Timeout: 5 * time.Second,
		// After the name was resolved, so that no name can lead inside.
		Control: func(_, address string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if !notification.Reachable(at.Addr(), allowed) {
				return notification.ForbiddenTo.New(
					"A webhook may not go to %s: it is an address inside of this network", at.Addr())
			}
			return nil
		},
	}
	return &Sender{
		client: &http.Client{
			Timeout: within,
			Transport: &http.Transport{
				DialContext: dialer.DialContext, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: within,
				DisableKeepAlives: true, // one delivery now and then: no connection is worth keeping
				ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 64 << 10,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		now: time.Now,
	}
}

// Refused is an answer that is not a success.
type Refused struct{ Status int }

// Error implements error.
func (r *Refused) Error() string { return fmt.Sprintf("the receiver answered %d", r.Status) }

// Send posts one delivery, signed with each secret: a receiver that has one of them accepts
// it. The receiver recognises a repetition by its id.
// Fails with *Refused, and with sink.not_delivered when there was no answer.
func (s *Sender) Send(ctx context.Context, url string, secrets []string, id string, body []byte) error {
	at := s.now()
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		var err error
		if signatures[i], err = notification.Sign(secret, id, at, body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return notification.BadSink.Wrap(err, "The URL of the webhook is not valid")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Spotkeeper")
	req.Header.Set(notification.HeaderID, id)
	req.Header.Set(notification.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	req.Header.Set(notification.HeaderSignature, strings.Join(signatures, " "))
	res, err := s.client.Do(req)
	if err != nil {
		return notification.NotDelivered.Wrap(err, "%s", why(err))
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.CopyN(io.Discard, res.Body, 64<<10) // let the receiver finish its answer; the body is not used
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return &Refused{Status: res.StatusCode}
	}
	return nil
}

// why is one sentence for the tenant, without what our network looks like.
func why(err error) string {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The receiver refused the connection."
	case errors.As(err, &dns):
		return "The receiver's name does not resolve."
	case isForbidden(err):
		return "The receiver's name leads to an address inside of this network."
	case errors.As(err, &timeout) && timeout.Timeout():
		return "The receiver did not answer in time."
	default:
		return "The receiver could not be reached."
	}
}

func isForbidden(err error) bool { return fault.Is(err, notification.ForbiddenTo) }
