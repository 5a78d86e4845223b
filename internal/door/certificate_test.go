package door_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/door"
)

// pair is a certificate of this machine in two files.
type pair struct{ cert, key string }

// write makes a certificate with a number, and puts it into the files.
func (p pair) write(t *testing.T, number int64, at time.Time) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	form := &x509.Certificate{
		SerialNumber: big.NewInt(number), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{
		p.cert: {Type: "CERTIFICATE", Bytes: der}, p.key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
		require.NoError(t, os.Chtimes(file, at, at))
	}
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(made)
	return roots
}

// TestCertificatesAreReadAnew: a server answers with the new certificate once the files have
// changed, and with the one before while they cannot be used.
func TestCertificatesAreReadAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := pair{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	log, now := slog.New(slog.DiscardHandler), time.Now()
	_, err := door.LoadCertificate(files.cert, files.key, log, nil)
	require.ErrorIs(t, err, os.ErrNotExist)

	roots := files.write(t, 1, now)
	cert, err := door.LoadCertificate(files.cert, files.key, log, func() time.Time { return now })
	require.NoError(t, err)
	d := door.New(door.Limits{}, nil)
	server := d.Server(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Proto))
	}), log)
	server.TLSConfig = cert.Config()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(d.Listen(ln), "", "") }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	ask := func(roots *x509.CertPool, version uint16) (number int64, protocol string, err error) {
		transport := &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: version},
			ForceAttemptHTTP2: true,
		}
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+ln.Addr().String(), nil)
		require.NoError(t, err)
		res, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(req)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = res.Body.Close() }()
		return res.TLS.PeerCertificates[0].SerialNumber.Int64(), res.Proto, nil
	}
	serves := func(want int64) {
		t.Helper()
		got, protocol, err := ask(roots, tls.VersionTLS13)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, "HTTP/2.0", protocol)
	}
	serves(1)
	_, _, err = ask(roots, tls.VersionTLS12)
	require.NoError(t, err)
	_, _, err = ask(roots, tls.VersionTLS11)
	require.ErrorContains(t, err, "protocol version")

	later := now.Add(time.Minute)
	require.NoError(t, os.WriteFile(files.cert, []byte("half a fi"), 0o600))
	now = later
	serves(1)
	roots = files.write(t, 2, later)
	now = now.Add(time.Minute)
	serves(2)
}
