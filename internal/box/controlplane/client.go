// Package controlplane is the client of the agents' HTTP contract.
package controlplane

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// callTimeout is above the twenty seconds that a notice may wait for its outcome.
	callTimeout = 30 * time.Second
	dialTimeout = 3 * time.Second
	// hedge is how long one address is waited for before the next one is asked as well.
	hedge = 5 * time.Second
	// maxAddresses bounds how many addresses of the api's name are used.
	maxAddresses = 8
	maxAnswer    = 1 << 20
)

// Refusal is an answer of 400 or more.
type Refusal struct {
	Status int
	Code   string
	Text   string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("the control plane answered %d %s: %s", r.Status, r.Code, r.Text)
}

// Final says that the answer is one that repeating the request does not change.
func Final(err error) bool {
	r, ok := errors.AsType[*Refusal](err)
	if !ok || r.Status >= 500 {
		return false
	}
	switch r.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false // the token or the agent may be known in a moment
	}
	return true
}

// IsStatus says whether the error is an answer with this status.
func IsStatus(err error, status int) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Status == status
}

// Options of a Client.
type Options struct {
	Base       string                            // address of the control plane
	CAFile     string                            // certificates that its own is checked with, besides the system's
	Credential func(path string) (string, error) // read for each request, so that a new token is used at once
	Version    string                            // of the agent, for User-Agent
	Resolve    func(context.Context, string) ([]string, error)
	Hedge      time.Duration
}

// Client is safe for concurrent use.
type Client struct {
	o         Options
	base      *url.URL
	transport *http.Transport
	usual     *http.Client

	mu     sync.Mutex
	known  []string                // the addresses that the name had last
	pinned map[string]*http.Client // by address
	turn   int                     // of Deliver's calls
	single int                     // of once's
}

// New makes a client.
func New(o Options) (*Client, error) {
	base, err := url.Parse(strings.TrimSuffix(o.Base, "/"))
	if err != nil {
		return nil, err
	}
	if o.Resolve == nil {
		o.Resolve = net.DefaultResolver.LookupHost
	}
	if o.Hedge <= 0 {
		o.Hedge = hedge
	}
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     90 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	if o.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s has no certificates", o.CAFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	c := &Client{o: o, base: base, transport: transport, pinned: map[string]*http.Client{}}
	c.usual = c.client(transport)
	return c, nil
}

// client follows no redirects: a POST would arrive as a GET without its body.
func (c *Client) client(t *http.Transport) *http.Client {
	return &http.Client{
		Timeout:       callTimeout,
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Close drops the idle connections.
func (c *Client) Close() {
	c.usual.CloseIdleConnections()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.pinned {
		one.CloseIdleConnections()
	}
}

// Call sends one request and reads the answer into out unless that is nil. An answer of
// 300 or more is a *Refusal.
func (c *Client) Call(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	answer, err := c.send(ctx, c.usual, method, path, body)
	if err != nil {
		return err
	}
	return decode(answer, out)
}

// once is Call for what must not arrive twice: it asks one address, and the next call asks
// another one.
func (c *Client) once(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	answer, err := c.send(ctx, c.ways(ctx, &c.single)[0], method, path, body)
	if err != nil {
		return err
	}
	return decode(answer, out)
}

// Deliver is Call for what must arrive: it asks every address that the api's name has, the
// next one when one fails or has not answered within five seconds, and takes the first
// answer. The request must be one that may arrive more than once.
func (c *Client) Deliver(ctx context.Context, method, path string, in, out any) error {
	body, err := encode(in)
	if err != nil {
		return err
	}
	ways := c.ways(ctx, &c.turn)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	type outcome struct {
		answer []byte
		err    error
	}
	ended := make(chan outcome, len(ways))
	asked, pending := 0, 0
	ask := func() {
		way := ways[asked]
		asked, pending = asked+1, pending+1
		running.Go(func() {
			answer, err := c.send(ctx, way, method, path, body)
			ended <- outcome{answer, err}
		})
	}
	ask()
	next := time.NewTicker(c.o.Hedge)
	defer next.Stop()
	for {
		select {
		case o := <-ended:
			pending--
			if o.err == nil {
				return decode(o.answer, out)
			}
			if Final(o.err) || ctx.Err() != nil {
				return o.err
			}
			err = o.err
			if asked == len(ways) && pending == 0 {
				return err
			}
		case <-next.C:
		}
		if asked < len(ways) {
			ask()
		}
	}
}

func (c *Client) send(ctx context.Context, way *http.Client, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	token, err := c.o.Credential(path)
	if err != nil {
		return nil, err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "spotkeeper-agent/"+c.o.Version)
	if trace, ok := ctx.Value(traceKey{}).(string); ok {
		request.Header.Set("traceparent", trace)
	}
	answer, err := way.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", path, err)
	}
	if answer.StatusCode >= 300 {
		return nil, refusal(path, answer, content)
	}
	// A proxy's page is no answer of the control plane, whatever its status.
	if len(content) > 0 && !json.Valid(content) {
		return nil, &pageError{path: path, status: answer.StatusCode}
	}
	return content, nil
}

func refusal(path string, answer *http.Response, content []byte) error {
	var said struct {
		Code  string `json:"code"`
		Error string `json:"error"`
	}
	if json.Unmarshal(content, &said) == nil && said.Error != "" {
		return &Refusal{answer.StatusCode, said.Code, said.Error}
	}
	// An answer without the control plane's form comes from something in between, such as a
	// load balancer that has lost its targets.
	return &pageError{path, answer.StatusCode, answer.Header.Get("Location")}
}

func encode(in any) ([]byte, error) {
	if in == nil {
		return nil, nil
	}
	return json.Marshal(in)
}

func decode(answer []byte, out any) error {
	if out == nil || len(answer) == 0 {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// ways are clients that each dial one address of the api's name, in turn from call to
// call; the usual client when a proxy is used or the name has one address. When the name
// cannot be resolved the addresses that it had last are used.
func (c *Client) ways(ctx context.Context, turn *int) []*http.Client {
	if proxy, err := c.transport.Proxy(&http.Request{URL: c.base}); err != nil || proxy != nil {
		return []*http.Client{c.usual}
	}
	lookup, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	found, err := c.o.Resolve(lookup, c.base.Hostname())
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && len(found) > 0 {
		slices.Sort(found)
		c.known = found[:min(len(found), maxAddresses)]
	}
	if len(c.known) == 0 {
		return []*http.Client{c.usual}
	}
	for address, one := range c.pinned {
		if !slices.Contains(c.known, address) {
			one.CloseIdleConnections()
			delete(c.pinned, address)
		}
	}
	out := make([]*http.Client, 0, len(c.known)+1)
	for i := range c.known {
		out = append(out, c.pin(c.known[(*turn+i)%len(c.known)]))
	}
	*turn++
	if len(out) == 1 {
		out = append(out, out[0]) // one address may stand for several servers
	}
	return out
}

func (c *Client) pin(address string) *http.Client {
	if one, ok := c.pinned[address]; ok {
		return one
	}
	transport := c.transport.Clone()
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport.DialContext = func(ctx context.Context, network, named string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(named)
		if err != nil {
			return nil, err
		}
		return dialer.DialContext(ctx, network, net.JoinHostPort(address, port))
	}
	one := c.client(transport)
	c.pinned[address] = one
	return one
}
