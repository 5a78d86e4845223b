package onnx_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/engine/onnx"
)

// TestOffInAFreshProcess runs itself again, because a process that has loaded
// the library once is never without it.
func TestOffInAFreshProcess(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text.so")
	require.NoError(t, os.WriteFile(text, []byte("no library"), 0o600))
	for path, want := range map[string]string{
		"":               "no library is configured",
		"/nowhere/at.so": "there is no library at",
		text:             "cannot be loaded",
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildOpens$", "-test.v", "--", "open="+path)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, string(out), want)
	}
}

// TestChildOpens does something only as the child of the test above.
func TestChildOpens(t *testing.T) {
	t.Parallel()
	path, asked := strings.CutPrefix(os.Args[len(os.Args)-1], "open=")
	if !asked {
		return
	}
	_, err := onnx.Open(path)
	require.True(t, fault.Is(err, onnx.Off), "%v", err)
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.True(t, strings.HasPrefix(f.Message, "onnx off: "), f.Message)
	t.Log(f.Message)
}
