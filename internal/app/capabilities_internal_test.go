package app

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/config"
	"spotkeeper/internal/temporalx"
	"spotkeeper/internal/testkit/frontend"
)

func TestWhatCannotWorkIsSaidInASentence(t *testing.T) {
	t.Parallel()
	absent := func(string) (string, error) { return "", errors.New("not here") }
	there := func(string) (string, error) { return "/usr/bin/python3", nil }
	for name, x := range map[string]struct {
		engine config.Engine
		find   func(string) (string, error)
		says   string
	}{
		"nothing is asked for": {config.Engine{Python: "off"}, absent, ""},
		"Python that is there": {config.Engine{Python: "on", PythonPath: "python3"}, there, ""},
		"Python that is not":   {config.Engine{Python: "on", PythonPath: "python3"}, absent, "there is no interpreter python3"},
		"without a sandbox":    {config.Engine{Python: "unsafe", PythonPath: "python3"}, there, "our files and network in their reach"},
		"neither on nor off":   {config.Engine{Python: "yes"}, there, `"yes", which counts as off`},
		"ONNX that is not":     {config.Engine{ONNXLibrary: "/nonexistent/lib.so"}, there, "ONNX models do not run here"},
	} {
		got := cannotWork(config.Config{Engine: x.engine}, x.find)
		if x.says == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Len(t, got, 1, name)
		require.Contains(t, got[0], x.says, name)
	}
}

func TestWebhooksInsideWantANetwork(t *testing.T) {
	t.Parallel()
	urls := []string{"https://hooks.example.com/x", "http://10.1.2.3/x", "http://localhost:8080/", "https://8.8.8.8/", "http://[::1]/"}
	require.Equal(t, 3, outOfReach(urls, nil))
	require.Equal(t, 2, outOfReach(urls, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}))
}

// TestAWorkerOfAnotherInstallationDoesNotStart: its database and its namespace are not
// each other's, so it would act on one fleet with the other's workflows.
func TestAWorkerOfAnotherInstallationDoesNotStart(t *testing.T) {
	t.Parallel()
	address := frontend.Serve(t, &frontend.Cloud{})
	first := openedAt(t, address)
	require.NoError(t, first.checkTie(t.Context()), "a namespace that no worker has tied is free")
	require.NoError(t, first.tie(t.Context()))
	require.NoError(t, first.tie(t.Context()), "again")
	require.NoError(t, first.checkTie(t.Context()))

	other := openedAt(t, address)
	require.True(t, temporalx.IsOther(other.tie(t.Context())))
	require.ErrorContains(t, other.RunWorker(t.Context()), "belongs to installation")
	var err error
	require.Eventually(t, func() bool { // a server that is too busy to answer is no other installation
		err = other.checkTie(t.Context())
		return err != nil
	}, time.Minute, 10*time.Millisecond)
	require.ErrorContains(t, err, "correct DATABASE_URL or TEMPORAL_NAMESPACE")
}
