// Package moto starts moto, a double of AWS that was not written here, as a
// process of its own.
package moto

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/subprocess"
)

// Start runs moto until the test ends and returns its address. The test fails
// where moto is not installed: a test that skips itself proves nothing.
func Start(t *testing.T, environment ...string) (endpoint string) {
	t.Helper()
	var lc net.ListenConfig
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().(*net.TCPAddr)
	require.NoError(t, ln.Close())
	output := filepath.Join(t.TempDir(), "moto.log")
	log, err := os.Create(output)
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	_, port, err := net.SplitHostPort(address.String())
	require.NoError(t, err)
	//nolint:noctx // the cleanup below ends it
	cmd := exec.Command("python3", "-m", "moto.server", "-H", "127.0.0.1", "-p", port)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), environment...), log, log
	cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	endpoint = "http://" + address.String()
	await(t, endpoint, output, ended)
	return endpoint
}

// await waits until moto answers. Loading its Python takes seconds.
func await(t *testing.T, endpoint, output string, ended <-chan struct{}) {
	t.Helper()
	web := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	require.Eventually(t, func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"/moto-api/", http.NoBody)
		if err != nil {
			return false
		}
		answer, err := web.Do(request)
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	}, time.Minute, 100*time.Millisecond, "moto did not come up; see %s", output)
	select {
	case <-ended:
		said, err := os.ReadFile(output)
		require.NoError(t, err)
		require.Fail(t, "moto did not start", "this test needs moto: pip install 'moto[server]==5.2.1'\n%s", said)
	default:
	}
}
