package temporalx_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	api "go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"spotkeeper/internal/temporalx"
)

// strict is a frontend behind TLS that admits clients with a certificate of its authority
// and one API key.
type strict struct {
	api.UnimplementedWorkflowServiceServer

	mu    sync.Mutex
	key   string
	name  string // of the last client's certificate
	conns []net.Conn
}

func (s *strict) GetSystemInfo(context.Context, *api.GetSystemInfoRequest) (*api.GetSystemInfoResponse, error) {
	return &api.GetSystemInfoResponse{}, nil
}

func (s *strict) DescribeNamespace(ctx context.Context, _ *api.DescribeNamespaceRequest) (*api.DescribeNamespaceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	given := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(given) != 1 || given[0] != "Bearer "+s.key {
		return nil, status.Error(codes.PermissionDenied, "the API key is not valid")
	}
	from, _ := peer.FromContext(ctx)
	s.name = from.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0].Subject.CommonName
	return &api.DescribeNamespaceResponse{}, nil
}

// keeping is a listener whose connections can be ended.
type keeping struct {
	net.Listener
	s *strict
}

func (k keeping) Accept() (net.Conn, error) {
	conn, err := k.Listener.Accept()
	k.s.mu.Lock()
	k.s.conns = append(k.s.conns, conn)
	k.s.mu.Unlock()
	return conn, err
}

// last is the name on the last client's certificate.
func (s *strict) last() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

func (s *strict) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.conns = nil
}

// authority signs certificates for this test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true,
		BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return &authority{cert, key}
}

// sign makes a certificate, as PEM of it and of its key.
func (a *authority) sign(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.cert, &own.PublicKey, a.key)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(own)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
}

func (s *strict) serve(t *testing.T, a *authority) string {
	t.Helper()
	pair, err := tls.X509KeyPair(a.sign(t, "server"))
	require.NoError(t, err)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12,
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients})))
	api.RegisterWorkflowServiceServer(server, s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(keeping{ln, s})
	}()
	t.Cleanup(func() {
		server.Stop()
		<-ended
	})
	return ln.Addr().String()
}

// TestCredentialsAreReadAgain: an API key and a client certificate that are replaced in
// their files are used without a restart, the certificate from the next connection on.
func TestCredentialsAreReadAgain(t *testing.T) {
	t.Parallel()
	a, s, dir := newAuthority(t), &strict{key: "first"}, t.TempDir()
	keyFile, certFile, secretFile := filepath.Join(dir, "key"), filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	authorityFile := filepath.Join(dir, "ca.crt")
	write := func(file string, content []byte) {
		t.Helper()
		draft := file + ".new"
		require.NoError(t, os.WriteFile(draft, content, 0o600))
		require.NoError(t, os.Rename(draft, file)) // as kubelet and others replace them, at once
	}
	certify := func(name string) {
		t.Helper()
		cert, key := a.sign(t, name)
		write(certFile, cert)
		write(secretFile, key)
	}
	write(keyFile, []byte("first\n"))
	write(authorityFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
	certify("one")

	c, err := temporalx.Connect(temporalx.Options{APIKeyFile: keyFile, Env: environment{
		"TEMPORAL_ADDRESS": s.serve(t, a), "TEMPORAL_CONFIG_FILE": "/nonexistent",
		"TEMPORAL_TLS_CLIENT_CERT_PATH": certFile, "TEMPORAL_TLS_CLIENT_KEY_PATH": secretFile,
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH": authorityFile,
	}})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	ask := func() error {
		_, err := c.WorkflowService().DescribeNamespace(t.Context(), &api.DescribeNamespaceRequest{Namespace: "ours"})
		return err
	}
	require.NoError(t, ask())
	require.Equal(t, "one", s.last())

	s.mu.Lock()
	s.key = "second"
	s.mu.Unlock()
	require.Error(t, ask(), "the old key is withdrawn")
	write(keyFile, []byte("the second\n"))
	require.Error(t, ask(), "and a wrong one does not help")
	write(keyFile, []byte("second"))
	require.NoError(t, ask())
	require.NoError(t, os.Remove(keyFile))
	require.NoError(t, ask(), "a file that is away leaves the last key in force")

	certify("two")
	require.NoError(t, ask())
	s.hangUp()
	require.Eventually(t, func() bool { return ask() == nil && s.last() == "two" }, 20*time.Second, 10*time.Millisecond)
}

// TestAnAPIKeyIsGivenOnce: what contradicts itself, or is absent, is said at start.
func TestAnAPIKeyIsGivenOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	_, err := temporalx.Connect(temporalx.Options{APIKeyFile: file, Env: environment{"TEMPORAL_CONFIG_FILE": "/nonexistent"}})
	require.ErrorContains(t, err, "TEMPORAL_API_KEY_FILE")
	require.NoError(t, os.WriteFile(file, []byte("key"), 0o600))
	_, err = temporalx.Connect(temporalx.Options{APIKeyFile: file,
		Env: environment{"TEMPORAL_CONFIG_FILE": "/nonexistent", "TEMPORAL_API_KEY": "another"}})
	require.ErrorContains(t, err, "not given together")
	_, encrypted, err := temporalx.ServerAddress(temporalx.Options{APIKeyFile: file, Env: environment{"TEMPORAL_CONFIG_FILE": "/nonexistent"}})
	require.NoError(t, err)
	require.True(t, encrypted, "a key is sent over TLS alone")
}
