package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/testkit/postgrestest"
)

const adminToken = "operator-of-the-tests"

// deployment is an api with a provider.
type deployment struct {
	t        *testing.T
	api      string
	provider string
}

var known = people{
	"ann":   {email: "ann@example.com", verified: true, groups: []string{"staff", "platform"}},
	"ben":   {email: "ben@example.com", verified: true, groups: []string{"staff"}},
	"guest": {email: "guest@example.com", verified: true, groups: []string{"visitors"}},
	"eve":   {email: "ann@example.com", groups: []string{"platform"}}, // says that she is ann
	"ops":   {email: "ops", verified: true, groups: []string{"platform"}},
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	ports, err := loopback.Free(2)
	require.NoError(t, err)
	api := "http://" + loopback.Addr(ports[0])
	back := api + "/login/oidc/callback"
	provider := newProvider(t, known, back)
	c, err := config.Load(map[string]string{
		"DATABASE_URL":         postgrestest.URL(t),
		"API_LISTEN":           loopback.Addr(ports[0]),
		"API_METRICS_LISTEN":   loopback.Addr(ports[1]),
		"ARTIFACTS_URL":        t.TempDir(),
		"ADMIN_TOKEN":          "ops=" + adminToken,
		"SECRET_KEY":           "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
		"EC2_SIMULATED":        "true",
		"OIDC_ISSUER":          provider.URL,
		"OIDC_CLIENT_ID":       clientID,
		"OIDC_CLIENT_SECRET":   clientSecret,
		"OIDC_REDIRECT_URL":    back,
		"OIDC_ADMIN_GROUPS":    "platform",
		"OIDC_VIEWER_GROUPS":   "staff",
		"OIDC_OPERATOR_GROUPS": "on-call",
	})
	require.NoError(t, err)
	a, err := app.Open(t.Context(), c, app.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- a.RunAPI(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			require.NoError(t, err)
		}
		a.Close()
	})
	d := &deployment{t: t, api: api, provider: provider.URL}
	require.Eventually(t, func() bool {
		answer, _ := d.browser().try(api + "/health")
		return answer.status == http.StatusOK
	}, time.Minute, 10*time.Millisecond)
	return d
}

// browser keeps cookies and follows redirects, as browsers do.
type browser struct {
	t      *testing.T
	client *http.Client
}

func (d *deployment) browser() *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(d.t, err)
	transport := &http.Transport{}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: d.t, client: &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}}
}

type page struct {
	status int
	at     *url.URL
	text   string
	header http.Header
}

func (b *browser) try(address string) (page, error) {
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, nil)
	require.NoError(b.t, err)
	return b.do(req)
}

func (b *browser) do(req *http.Request) (page, error) {
	answer, err := b.client.Do(req)
	if err != nil {
		return page{}, err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return page{status: answer.StatusCode, at: answer.Request.URL, text: string(text), header: answer.Header}, err
}

func (b *browser) get(address string) page {
	b.t.Helper()
	got, err := b.try(address)
	require.NoError(b.t, err)
	return got
}

func (b *browser) submit(address string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, address,
		strings.NewReader(form.Encode()))
	require.NoError(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	got, err := b.do(req)
	require.NoError(b.t, err)
	return got
}

// logIn goes from the api to the provider and back.
func (d *deployment) logIn(b *browser, name string) page {
	d.t.Helper()
	asked := b.get(d.api + "/login/oidc?next=/fleet")
	require.Equal(d.t, d.provider, asked.at.Scheme+"://"+asked.at.Host, asked.text)
	return b.submit(d.provider+"/login/username", url.Values{
		"username": {name}, "password": {password}, "id": {asked.at.Query().Get("authRequestID")},
	})
}

func (d *deployment) session(b *browser) map[string]any {
	d.t.Helper()
	got := b.get(d.api + "/api/session")
	var out map[string]any
	require.NoError(d.t, json.Unmarshal([]byte(got.text), &out), got.text)
	return out
}

func TestOperatorsLogInAtAProvider(t *testing.T) {
	t.Parallel()
	d := deploy(t)

	ann := d.browser()
	require.Contains(t, ann.get(d.api+"/login?next=/fleet").text, `href="/login/oidc?next=%2ffleet"`)
	back := d.logIn(ann, "ann")
	require.Equal(t, 200, back.status, back.text)
	require.Equal(t, "/login/oidc/callback", back.at.Path)
	require.Regexp(t, `http-equiv="refresh" content="0; url=/fleet"`, back.text, "a page of ours leads on")
	require.Regexp(t, `spotkeeper_session=[^;]+;.*HttpOnly; SameSite=Strict`,
		back.header.Values("Set-Cookie"))
	who := d.session(ann)
	require.Equal(t, "ann@example.com", who["name"])
	require.Equal(t, "admin", who["role"], "the greatest of her groups")
	require.Equal(t, true, who["session"])

	ben := d.browser()
	d.logIn(ben, "ben")
	require.Equal(t, "viewer", d.session(ben)["role"])
	require.Equal(t, 403, ben.get(d.api+"/api/admin/clients/c1/token").status)
	require.Equal(t, 200, ben.get(d.api+"/api/admin/clients").status)

	// One logs out, and the other stays.
	out, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.api+"/logout", nil)
	require.NoError(t, err)
	out.Header.Set("Origin", d.api)
	left, err := ann.do(out)
	require.NoError(t, err)
	require.Equal(t, 200, left.status)
	require.Equal(t, 401, ann.get(d.api+"/api/admin/clients").status)
	require.Equal(t, 200, ben.get(d.api+"/api/admin/clients").status)
}

func TestWhoHasNoRoleStaysOutside(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	for name, want := range map[string]string{
		"guest": "none of your groups has a role here",
		"eve":   "does not say that your e-mail address is verified",
		"ops":   "named ops too",
	} {
		b := d.browser()
		got := d.logIn(b, name)
		require.Equal(t, 403, got.status, name)
		require.Contains(t, got.text, want)
		require.Equal(t, 401, b.get(d.api+"/api/admin/clients").status, name)
	}
	stranger := d.browser()
	asked := stranger.get(d.api + "/login/oidc")
	got := stranger.submit(d.provider+"/login/username", url.Values{
		"username": {"ann"}, "password": {"wrong"}, "id": {asked.at.Query().Get("authRequestID")},
	})
	require.Equal(t, d.provider, got.at.Scheme+"://"+got.at.Host, "the provider does not let her go on")
}

// TestALoginIsOfTheBrowserThatBeganIt: an answer that is shown to another browser, twice or
// later is not taken.
func TestALoginIsOfTheBrowserThatBeganIt(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	var answer string
	ann := d.browser()
	ann.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/login/oidc/callback" {
			answer = r.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	d.logIn(ann, "ann")
	require.NotEmpty(t, answer)

	victim := d.browser()
	got := victim.get(answer)
	require.Equal(t, 401, got.status)
	require.Contains(t, got.text, "not begun in this browser")
	victim.get(d.api + "/login/oidc") // it begins a login of its own, and is shown the other's answer
	require.Equal(t, 401, victim.get(answer).status)
	require.Equal(t, 401, victim.get(d.api+"/api/session").status)

	require.Equal(t, 200, ann.get(answer).status)
	require.Equal(t, 401, ann.get(answer).status, "once")
	require.Equal(t, "admin", d.session(ann)["role"], "a replay ends nothing")
}

// TestFailedLoginsAreLimited, and a good one from the same address is not.
func TestFailedLoginsAreLimited(t *testing.T) {
	t.Parallel()
	d := deploy(t)
	b, last := d.browser(), 0
	for range 15 {
		last = b.get(d.api + "/login/oidc/callback?state=x&code=y").status
	}
	require.Equal(t, 429, last)
	ann := d.browser()
	require.Equal(t, 200, d.logIn(ann, "ann").status)
	require.Equal(t, 303, noRedirect(d.browser()).submit(d.api+"/login", url.Values{"token": {adminToken}}).status,
		"beside the provider, tokens are as before")
}

func noRedirect(b *browser) *browser {
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b
}
