package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/testkit/postgrestest"
)

// TestBackups are made by the real pg_dump: a whole one, one without a table, one that
// was cut off, and a file that is none.
func TestBackups(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	dump := func(name string, more ...string) string {
		file := filepath.Join(t.TempDir(), name)
		args := append([]string{"--format=custom", "--file=" + file, url}, more...)
		out, err := exec.CommandContext(t.Context(), "pg_dump", args...).CombinedOutput()
		require.NoError(t, err, string(out))
		return file
	}
	check := func(file string) result {
		return run(t, "", "backup", "check", file)
	}

	whole := dump("whole")
	r := check(whole)
	require.Equal(t, 0, r.code, r.out+r.err)

	r = check(dump("lacking", "--exclude-table=agents"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out, "table agents")

	content, err := os.ReadFile(whole)
	require.NoError(t, err)
	cut := filepath.Join(t.TempDir(), "cut")
	require.NoError(t, os.WriteFile(cut, content[:len(content)*9/10], 0o600))
	r = check(cut)
	require.Equal(t, 1, r.code, r.out)
	require.Contains(t, r.out, "end of file")

	require.NoError(t, os.WriteFile(cut, []byte("no dump"), 0o600))
	r = check(cut)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.out, "does not appear to be a valid archive")

	r = run(t, "", "backup", "check", whole, "--pg-restore", "/nonexistent/pg_restore")
	require.Contains(t, r.out, "install the client programs of Postgres")
}
