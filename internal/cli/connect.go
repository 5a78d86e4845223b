package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"spotkeeper/internal/cli/client"
)

// target is a control plane and who one is there.
type target struct {
	Server    string `json:"server" yaml:"server"`
	TokenFile string `json:"token_file,omitempty" yaml:"token_file,omitempty"`
	Token     string `json:"-" yaml:"token,omitempty"`
	Client    string `json:"client,omitempty" yaml:"client,omitempty"`
	// Drills are the agents, by id or name, that `drill` may be used on.
	Drills []string `json:"drills,omitempty" yaml:"drills,omitempty"`
}

// environment is what may be set instead of flags.
type environment struct {
	Server    string `env:"SPOTKEEPER_SERVER"`
	Token     string `env:"SPOTKEEPER_TOKEN"`
	TokenFile string `env:"SPOTKEEPER_TOKEN_FILE"`
	Context   string `env:"SPOTKEEPER_CONTEXT"`
}

// local is where `make run` listens.
const local = "http://127.0.0.1:5000"

// How long the API may take. A termination notice is the longest request: its answer
// waits for a successor for up to twenty seconds.
const (
	dialWithin   = 5 * time.Second
	headerWithin = 30 * time.Second
)

// resolve merges flags, environment and context, in this order of preference.
func (p *program) resolve() (target, error) {
	var e environment
	if err := env.Parse(&e); err != nil {
		return target{}, err
	}
	known, err := p.loadContexts()
	if err != nil {
		return target{}, err
	}
	name := cmp.Or(p.name, e.Context, known.Current)
	chosen, there := known.Contexts[name]
	if name != "" && !there {
		return target{}, fmt.Errorf("there is no context %q: spotkeeper context list shows them", name)
	}
	t := target{
		Server:    strings.TrimSuffix(cmp.Or(p.target.Server, e.Server, chosen.Server, local), "/"),
		TokenFile: cmp.Or(p.target.TokenFile, e.TokenFile),
		Token:     e.Token,
		Client:    cmp.Or(p.target.Client, chosen.Client),
	}
	// Tokens and marks go with the server that they were given for: those of a context with no other.
	if own := t.Server == strings.TrimSuffix(chosen.Server, "/"); own {
		t.Drills = chosen.Drills
		if t.Token == "" && t.TokenFile == "" {
			t.Token, t.TokenFile = chosen.Token, chosen.TokenFile
		}
	}
	if p.target.TokenFile != "" || t.Token == "" && t.TokenFile != "" {
		content, err := os.ReadFile(t.TokenFile)
		if err != nil {
			return target{}, fmt.Errorf("the token cannot be read: %w", err)
		}
		t.Token = strings.TrimSpace(string(content))
	}
	u, err := url.Parse(t.Server)
	if err != nil || u.Host == "" {
		return target{}, fmt.Errorf("%q is no address of an API: https://spotkeeper.example.com is one", t.Server)
	}
	if u.Scheme == "http" && t.Token != "" && !loopback(u.Hostname()) {
		return target{}, fmt.Errorf("a token is not sent to %s in clear text: use https", t.Server)
	}
	p.target = t
	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// connect makes the API's client. A status of 400 or more is an error with the API's sentence.
func (p *program) connect() (*client.ClientWithResponses, error) {
	t, err := p.resolve()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialWithin}).DialContext,
		TLSHandshakeTimeout:   dialWithin,
		ResponseHeaderTimeout: headerWithin,
		DisableKeepAlives:     true, // a command asks a few times, and then the process ends
	}
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.NewClientWithResponses(t.Server, client.WithHTTPClient(&caller{
		http: &http.Client{Transport: transport, CheckRedirect: follow}, token: t.Token, server: t.Server}))
}

// caller sends requests with the token, and turns refusals into errors.
type caller struct {
	http   *http.Client
	token  string
	server string
}

// Do implements client.HttpRequestDoer.
func (c *caller) Do(r *http.Request) (*http.Response, error) {
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	r.Header.Set("User-Agent", "spotkeeper-cli/"+version())
	resp, err := c.http.Do(r) //nolint:gosec // the user names the server
	if err != nil {
		if cause, ok := errors.AsType[*url.Error](err); ok && !errors.Is(err, context.Canceled) {
			return nil, fmt.Errorf("%s does not answer: %w", c.server, cause.Err)
		}
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return nil, refusal(r, resp, body)
}

// refused is what the API answers instead of what was asked for.
type refused struct {
	status int
	code   string
	words  string
}

// Error implements error.
func (r *refused) Error() string {
	if r.code == "" {
		return r.words
	}
	return r.words + " (" + r.code + ")"
}

func refusal(r *http.Request, resp *http.Response, body []byte) error {
	var e client.Error
	out := &refused{status: resp.StatusCode}
	if json.Unmarshal(body, &e) == nil && e.Error != "" {
		out.code, out.words = e.Code, e.Error
		if e.Details != nil {
			for field, problems := range *e.Details {
				out.words += "; " + field + ": " + strings.Join(problems, ", ")
			}
		}
		return out
	}
	out.words = fmt.Sprintf("%s answers %s %s with %s: is it the address of a Spotkeeper API?",
		r.URL.Host, r.Method, r.URL.Path, resp.Status)
	return out
}
