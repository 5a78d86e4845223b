package identity_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
	"spotkeeper/internal/identity"
)

// provider signs what a test says, and checks nothing: that is for us to do.
type provider struct {
	*httptest.Server
	claims map[string]any
	status int // of the answer to an exchange; 0: 200
	asked  int
	form   url.Values // of the last exchange

	namesItself bool // in each redirect (RFC 9207), as its discovery document says
}

var (
	key, _   = rsa.GenerateKey(rand.Reader, 2048)
	other, _ = rsa.GenerateKey(rand.Reader, 2048)
)

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	pages := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{
		PublicKey: key.Public(), KeyID: "k", Algorithm: oidc.RS256,
	}}}
	signer := key
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		p.form = r.PostForm
		if p.status != 0 {
			w.WriteHeader(p.status)
			return
		}
		if p.claims["forged"] != nil {
			signer = other
		}
		text, _ := json.Marshal(p.claims)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "a", "token_type": "Bearer",
			"id_token": oidctest.SignIDToken(signer, "k", oidc.RS256, string(text)),
		})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.asked++
		if p.status != 0 {
			w.WriteHeader(p.status)
			return
		}
		if !p.namesItself || !strings.HasPrefix(r.URL.Path, "/.well-known/") {
			pages.ServeHTTP(w, r)
			return
		}
		document := httptest.NewRecorder()
		pages.ServeHTTP(document, r)
		_, _ = w.Write([]byte(`{"authorization_response_iss_parameter_supported":true,` + document.Body.String()[1:]))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	pages.SetIssuer(p.URL)
	return p
}

func (p *provider) options() identity.Options {
	return identity.Options{
		Issuer: p.URL, ClientID: "us", ClientSecret: "secret", RedirectURL: "http://localhost/login/oidc/callback",
		Scopes: []string{"openid"}, NameClaim: "email", GroupsClaim: "groups",
		Roles: map[string]operators.Role{"sre": operators.Operator},
	}
}

func begin(t *testing.T, p *identity.Provider) (*identity.Flow, url.Values) {
	t.Helper()
	at, flow, err := p.Begin(t.Context(), "/fleet")
	require.NoError(t, err)
	u, err := url.Parse(at)
	require.NoError(t, err)
	return flow, u.Query()
}

// TestWhatTheProviderSaysIsChecked: each claim that makes an answer another deployment's,
// another login's, an old or a forged one.
func TestWhatTheProviderSaysIsChecked(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change map[string]any
		want   fault.Code // empty: she is in
	}{
		"a good one":                       {},
		"of another deployment":            {map[string]any{"aud": "them"}, identity.Refused},
		"for two, by another":              {map[string]any{"aud": []string{"us", "them"}, "azp": "them"}, identity.Refused},
		"for two, by us":                   {map[string]any{"aud": []string{"us", "them"}, "azp": "us"}, ""},
		"of another issuer":                {map[string]any{"iss": "https://elsewhere.example"}, identity.Refused},
		"of another login":                 {map[string]any{"nonce": "another"}, identity.Refused},
		"without a nonce":                  {map[string]any{"nonce": nil}, identity.Refused},
		"an old one":                       {map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, identity.Refused},
		"signed by a stranger":             {map[string]any{"forged": true}, identity.Refused},
		"without a name":                   {map[string]any{"email": " "}, identity.NoName},
		"with a name that breaks the line": {map[string]any{"email": "a\nb"}, identity.NoName},
		"with a name that looks alike":     {map[string]any{"email": "ann\u200b@example.com"}, identity.NoName},
		"not verified":                     {map[string]any{"email_verified": false}, identity.NoName},
		"perhaps verified":                 {map[string]any{"email_verified": nil}, identity.NoName},
		"verified in words":                {map[string]any{"email_verified": "true"}, ""},
		"of no group":                      {map[string]any{"groups": []string{}}, operators.NoRole},
		"of another group":                 {map[string]any{"groups": []any{"SRE", 1}}, operators.NoRole},
		"of one group":                     {map[string]any{"groups": "sre"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := newProvider(t)
			p := identity.New(from.options(), nil, nil)
			flow, asked := begin(t, p)
			require.Equal(t, "S256", asked.Get("code_challenge_method"))
			from.claims = map[string]any{
				"iss": from.URL, "aud": "us", "sub": "1", "exp": time.Now().Add(time.Hour).Unix(), "nonce": flow.Nonce,
				"email": "ann@example.com", "email_verified": true, "groups": []string{"sre"},
			}
			maps.Copy(from.claims, tc.change)
			who, err := p.Finish(t.Context(), flow, url.Values{"state": {flow.State}, "code": {"c"}})
			require.Equal(t, flow.Verifier, from.form.Get("code_verifier"))
			if tc.want != "" {
				require.True(t, fault.Is(err, tc.want), "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, &identity.Person{Name: "ann@example.com", Role: operators.Operator}, who)
		})
	}
}

// TestAnAnswerThatIsNotOursIsNotExchanged: the provider is not asked about it.
func TestAnAnswerThatIsNotOursIsNotExchanged(t *testing.T) {
	t.Parallel()
	now := time.Now()
	from := newProvider(t)
	p := identity.New(from.options(), nil, func() time.Time { return now })
	flow, _ := begin(t, p)
	good := url.Values{"state": {flow.State}, "code": {"c"}}
	for name, tc := range map[string]struct {
		flow   *identity.Flow
		answer url.Values
		want   fault.Code
	}{
		"no flow":          {nil, good, identity.Stale},
		"another state":    {flow, url.Values{"state": {"x"}, "code": {"c"}}, identity.Stale},
		"no state at all":  {&identity.Flow{Expires: flow.Expires}, url.Values{"code": {"c"}}, identity.Stale},
		"a refusal":        {flow, url.Values{"state": {flow.State}, "error": {"access_denied"}}, identity.Refused},
		"no code":          {flow, url.Values{"state": {flow.State}}, identity.Refused},
		"another provider": {flow, url.Values{"state": {flow.State}, "code": {"c"}, "iss": {"https://x"}}, identity.Refused},
	} {
		_, err := p.Finish(t.Context(), tc.flow, tc.answer)
		require.True(t, fault.Is(err, tc.want), "%s: %v", name, err)
	}
	now = now.Add(identity.FlowTime + time.Second)
	_, err := p.Finish(t.Context(), flow, good)
	require.True(t, fault.Is(err, identity.Stale), "%v", err)
	require.Nil(t, from.form)
}

// TestAProviderThatNamesItself: a redirect without the name of a provider that always gives it
// is another provider's, and its code is sent nowhere (RFC 9207, section 2.4).
func TestAProviderThatNamesItself(t *testing.T) {
	t.Parallel()
	from := newProvider(t)
	from.namesItself = true
	p := identity.New(from.options(), nil, nil)
	flow, _ := begin(t, p)
	answer := url.Values{"state": {flow.State}, "code": {"c"}}
	_, err := p.Finish(t.Context(), flow, answer)
	require.True(t, fault.Is(err, identity.Refused), "%v", err)
	require.Nil(t, from.form)
	from.claims = map[string]any{"iss": from.URL, "aud": "us", "sub": "1", "exp": time.Now().Add(time.Hour).Unix(),
		"nonce": flow.Nonce, "email": "ann@example.com", "email_verified": true, "groups": []string{"sre"}}
	answer.Set("iss", from.URL)
	_, err = p.Finish(t.Context(), flow, answer)
	require.NoError(t, err)
}

// TestAProviderThatIsAway: logins get an error, not every login asks the provider, and it is
// used again when it is back.
func TestAProviderThatIsAway(t *testing.T) {
	t.Parallel()
	now := time.Now()
	from := newProvider(t)
	from.status = http.StatusBadGateway
	p := identity.New(from.options(), nil, func() time.Time { return now })
	for range 5 {
		_, _, err := p.Begin(t.Context(), "")
		require.True(t, fault.Is(err, identity.Unavailable), "%v", err)
	}
	require.Equal(t, 1, from.asked)
	from.status, now = 0, now.Add(5*time.Second)
	flow, _ := begin(t, p)
	answer := url.Values{"state": {flow.State}, "code": {"c"}}
	for status, want := range map[int]fault.Code{503: identity.Unavailable, 400: identity.Refused} {
		from.status = status
		_, err := p.Finish(t.Context(), flow, answer)
		require.True(t, fault.Is(err, want), "%d: %v", status, err)
	}
}

// TestTheFingerprintFollowsTheSettings, so that sessions of other settings end.
func TestTheFingerprintFollowsTheSettings(t *testing.T) {
	t.Parallel()
	o := identity.Options{Issuer: "https://a", ClientID: "us", Roles: map[string]operators.Role{
		"a": operators.Admin, "b": operators.Viewer,
	}}
	first := identity.New(o, nil, nil).Fingerprint()
	require.Equal(t, first, identity.New(o, nil, nil).Fingerprint())
	o.Roles = map[string]operators.Role{"a": operators.Viewer, "b": operators.Viewer}
	require.NotEqual(t, first, identity.New(o, nil, nil).Fingerprint())
	o.Roles = map[string]operators.Role{"a": operators.Admin, "b": operators.Viewer}
	o.Issuer = "https://b"
	require.NotEqual(t, first, identity.New(o, nil, nil).Fingerprint())
}
