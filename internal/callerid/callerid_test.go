package callerid_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/callerid"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/joining"
	"spotkeeper/internal/testkit/moto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	host     = "sts.us-east-1.amazonaws.com"
	instance = "i-0aaa1111bbbb2222c"
)

// sign signs with the SDK, as an agent does.
func sign(t *testing.T, of aws.Credentials, challenge string) joining.SignedRequest {
	t.Helper()
	const body = "Action=GetCallerIdentity&Version=2011-06-15"
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+host+"/", strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set(joining.ChallengeHeader, joining.Answer(challenge, "control.example.com"))
	sum := sha256.Sum256([]byte(body))
	require.NoError(t, v4.NewSigner().SignHTTP(t.Context(), of, r, hex.EncodeToString(sum[:]), "sts", "us-east-1",
		time.Now()))
	out := joining.SignedRequest{Method: r.Method, URL: r.URL.String(), Headers: map[string]string{}, Body: body}
	for name := range r.Header {
		out.Headers[name] = r.Header.Get(name)
	}
	return out
}

// TestMoto: an STS that was not written here says whose role has signed.
func TestMoto(t *testing.T) {
	t.Parallel()
	endpoint := moto.Start(t)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	given, err := sts.New(sts.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(endpoint),
		HTTPClient:   client,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}).AssumeRole(t.Context(), &sts.AssumeRoleInput{
		RoleArn:         aws.String("arn:aws:iam::111122223333:role/web-box"),
		RoleSessionName: aws.String(instance),
	})
	require.NoError(t, err)
	r := sign(t, aws.Credentials{AccessKeyID: *given.Credentials.AccessKeyId,
		SecretAccessKey: *given.Credentials.SecretAccessKey, SessionToken: *given.Credentials.SessionToken}, "c")
	at, err := r.Judge("c", []string{"control.example.com"})
	require.NoError(t, err)
	caller, err := callerid.New(endpoint).Caller(t.Context(), at, r)
	require.NoError(t, err)
	require.Equal(t, "111122223333", caller.Account)
	role, err := caller.Role(instance)
	require.NoError(t, err)
	require.Equal(t, "web-box", role)

	user := sign(t, aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "x", SessionToken: "y"}, "c")
	caller, err = callerid.New(endpoint).Caller(t.Context(), host, user)
	require.NoError(t, err)
	_, err = caller.Role(instance)
	require.True(t, fault.Is(err, joining.Refused), "%v", err)
}

func TestAnswersOfSTS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		want   fault.Code
	}{
		"refused": {403, `<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>`,
			joining.Refused},
		"refused in no words": {400, `{}`, joining.Refused},
		"throttled":           {429, ``, joining.Unavailable},
		"out of order":        {503, ``, joining.Unavailable},
		"a redirect":          {302, ``, joining.Refused},
		"another answer":      {200, `<AssumeRoleResponse/>`, ""},
		"a page":              {200, `<html>`, ""},
		"nothing":             {200, `<GetCallerIdentityResponse/>`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got http.Header
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header
				if r.Host != host {
					w.WriteHeader(http.StatusTeapot)
					return
				}
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			}))
			t.Cleanup(server.Close)
			r := sign(t, aws.Credentials{AccessKeyID: "ASIAEXAMPLEEXAMPLE01", SecretAccessKey: "x", SessionToken: "y"}, "c")
			_, err := callerid.New(server.URL).Caller(t.Context(), host, r)
			require.Error(t, err)
			if tc.want != "" {
				require.True(t, fault.Is(err, tc.want), "%v", err)
			}
			require.Equal(t, "c@control.example.com", got.Get(joining.ChallengeHeader))
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := callerid.New("http://127.0.0.1:1").Caller(ctx, host, joining.SignedRequest{})
	require.True(t, fault.Is(err, joining.Unavailable), "%v", err)
}
