package fleet_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"spotkeeper/internal/fleet"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// Idle connections of the SDK's own HTTP client; it has no Close.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// provider returns a Provider that talks to h instead of AWS.
func provider(t *testing.T, h http.Handler, change ...func(*fleet.Options)) *fleet.Provider {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return providerAt(t, server.URL, change...)
}

func providerAt(t *testing.T, url string, change ...func(*fleet.Options)) *fleet.Provider {
	t.Helper()
	o := fleet.Options{
		Region:          "us-east-1",
		Endpoint:        url,
		STSEndpoint:     url,
		PricingEndpoint: url,
		Credentials:     fleet.StaticCredentials("test", "test"),
	}
	for _, c := range change {
		c(&o)
	}
	p, err := fleet.New(context.Background(), o)
	require.NoError(t, err)
	return p
}
