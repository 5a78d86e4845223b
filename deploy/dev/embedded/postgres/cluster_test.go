package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/pghost"
)

// fullDisk prints what initdb of Postgres 15 does on a full disk.
const fullDisk = `#!/bin/sh
mkdir -p "${1#--pgdata=}/base"
echo 'creating configuration files ... ok'
echo 'running bootstrap script ... 2026-11-29 18:10:40.925 UTC [9206] FATAL:  could not extend file "base/1/2691": No space left on device' >&2
echo '2026-11-29 18:10:40.925 UTC [9206] PANIC:  cannot abort transaction 1, it was already committed' >&2
echo 'initdb: removing data directory' >&2
exit 1
`

func TestInitializeOnAFullDiskSaysSoInOneSentence(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte(fullDisk), 0o755))
	data := filepath.Join(dir, "data")
	err := initialize(deadline(t), pghost.Programs{Dir: dir}, owner{}, data)
	require.EqualError(t, err,
		"no space left in "+dir+": a new database takes about 60 MB; free some, or choose another directory with --dir")
	require.NoDirExists(t, data+".draft")
	require.NoDirExists(t, data)
}

func TestInitializePassesOtherFailuresOn(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte("#!/bin/sh\necho no locale >&2\nexit 1\n"), 0o755))
	err := initialize(deadline(t), pghost.Programs{Dir: dir}, owner{}, filepath.Join(dir, "data"))
	require.EqualError(t, err, "initialize the database: exit status 1: no locale")
}
