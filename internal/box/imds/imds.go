// Package imds reads the instance metadata service, version 2, and watches the paths on
// which AWS announces what it will do with the instance.
//
// Rules of the service that shape this package, from the AWS guide "Use IMDS" and from
// the issue tracker of aws-node-termination-handler: a session token is got by PUT and
// lives as long as its caller asks for, six hours at most; it can be refused with 401
// before that; 404 is the ordinary answer of a path with nothing to say; healthy hosts
// answer 503 now and then; the PUT's answer crosses as many network hops as the
// instance's hop limit allows, which is one by default and does not reach a container.
// Version 1 is never used.
package imds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// Endpoint is where every instance finds its metadata service.
	Endpoint = "http://169.254.169.254"
	// TokenTTL is the longest life that the service gives a token.
	TokenTTL = 6 * time.Hour
	// Timeout of one request. The service is on the host.
	Timeout = 2 * time.Second

	tokenPath   = "/latest/api/token"        //nolint:gosec // the path, not a token
	tokenHeader = "X-aws-ec2-metadata-token" //nolint:gosec // the header, not a token
	ttlHeader   = "X-aws-ec2-metadata-token-ttl-seconds"
	// renewAt is the part of a token's life after which the next request gets a new one.
	renewAt = 0.8
	maxBody = 64 << 10
)

// ErrAbsent is the ordinary answer of a path that has nothing to say (404).
var ErrAbsent = errors.New("the metadata service has nothing at this path")

// StatusError is an answer other than 200 and 404.
type StatusError struct {
	Path   string
	Status int
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("the metadata service answered %d for %s", e.Status, e.Path)
}

// ErrPage means that something in between has answered with a page, such as a proxy or a
// login portal. A page at the path of the notices is no notice.
var ErrPage = errors.New("a page was answered instead: a proxy or portal answers in place of the metadata service")

// Options of a Client. The zero value is that of an instance.
type Options struct {
	Endpoint string        // with or without a path; by default Endpoint
	Timeout  time.Duration // of one request; by default Timeout
	TokenTTL time.Duration // asked for; by default TokenTTL
	Now      func() time.Time
}

// Client reads the metadata service. It is safe for concurrent use.
type Client struct {
	base    string
	timeout time.Duration
	ttl     time.Duration
	now     func() time.Time
	http    *http.Client

	mu    sync.Mutex // one renewal at a time
	token string
	renew time.Time
}

// New makes a client. It ignores proxy settings: the service is on the host.
func New(o Options) *Client {
	c := &Client{base: strings.TrimSuffix(o.Endpoint, "/"), timeout: o.Timeout, ttl: o.TokenTTL, now: o.Now}
	if c.base == "" {
		c.base = Endpoint
	}
	if c.timeout <= 0 {
		c.timeout = Timeout
	}
	if c.ttl <= 0 || c.ttl > TokenTTL {
		c.ttl = TokenTTL
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: c.timeout}).DialContext,
			MaxIdleConnsPerHost: 2,
			IdleConnTimeout:     30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close drops the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is the text at a path, with the time of the service's own clock when it says
// so. The deadline of a notice is compared with that clock, not with the instance's.
type Answer struct {
	Text string
	Date time.Time // zero when the service named none
	At   time.Time // when it arrived, by the local clock, with its monotonic reading
}

// Get reads a path below /latest/, such as "meta-data/instance-id". Fails with ErrAbsent
// on 404 and with a *StatusError on any other answer that is not 200. A token that is
// refused with 401 is replaced once.
func (c *Client) Get(ctx context.Context, path string) (Answer, error) {
	token, err := c.currentToken(ctx, "")
	if err != nil {
		return Answer{}, err
	}
	answer, err := c.getWith(ctx, path, token)
	var refused *StatusError
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized {
		if token, err = c.currentToken(ctx, token); err != nil {
			return Answer{}, err
		}
		return c.getWith(ctx, path, token)
	}
	return answer, err
}

// Text is Get for callers that need no times.
func (c *Client) Text(ctx context.Context, path string) (string, error) {
	answer, err := c.Get(ctx, path)
	return answer.Text, err
}

func (c *Client) getWith(ctx context.Context, path, token string) (Answer, error) {
	answer, header, err := c.do(ctx, http.MethodGet, "/latest/"+path, tokenHeader, token)
	if err != nil {
		return Answer{}, err
	}
	out := Answer{Text: answer, At: c.now()}
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		out.Date = date
	}
	return out, nil
}

// currentToken returns the token in use, or a new one when that is due for renewal or is
// the one that was refused. While a token is due but not expired, a renewal that fails
// leaves it in use.
func (c *Client) currentToken(ctx context.Context, refused string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token != "" && c.token != refused && c.now().Before(c.renew) {
		return c.token, nil
	}
	seconds := strconv.Itoa(int(c.ttl / time.Second))
	asked := c.now()
	token, header, err := c.do(ctx, http.MethodPut, tokenPath, ttlHeader, seconds)
	expired := !asked.Before(c.renew.Add(time.Duration(float64(c.ttl) * (1 - renewAt))))
	switch {
	case err == nil && token != "":
	case c.token != "" && c.token != refused && !expired:
		return c.token, nil
	case err != nil:
		return "", fmt.Errorf("get a metadata token: %w", err)
	default:
		return "", errors.New("get a metadata token: the answer was empty")
	}
	life := c.ttl
	if granted, err := strconv.Atoi(header.Get(ttlHeader)); err == nil && granted > 0 {
		life = min(life, time.Duration(granted)*time.Second)
	}
	c.token, c.renew = token, asked.Add(time.Duration(float64(life)*renewAt))
	return token, nil
}

func (c *Client) do(ctx context.Context, method, path, header, value string) (string, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, http.NoBody)
	if err != nil {
		return "", nil, err
	}
	request.Header.Set(header, value)
	answer, err := c.http.Do(request)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("read %s: %w", path, err)
	case answer.StatusCode == http.StatusNotFound:
		return "", answer.Header, ErrAbsent
	case answer.StatusCode != http.StatusOK:
		return "", answer.Header, &StatusError{path, answer.StatusCode}
	}
	text := strings.TrimSpace(string(body))
	if strings.HasPrefix(text, "<") {
		return "", answer.Header, fmt.Errorf("read %s: %w", path, ErrPage)
	}
	return text, answer.Header, nil
}
