package postgres

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/pghost"
)

// fullDisks are what initdb of Postgres 15 prints on a full disk.
var fullDisks = map[string]string{
	"no block is left":          `FATAL:  could not extend file "base/1/2691": No space left on device`,
	"a part of a page is left":  `FATAL:  could not extend file "base/1/2691": wrote only 4096 of 8192 bytes at block 20`,
	"a directory has no blocks": `initdb: error: could not create directory "pg_wal": No space left on device`,
}

func TestInitializeOnAFullDiskSaysSoInOneSentence(t *testing.T) {
	t.Parallel()
	for name, printed := range fullDisks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := openDir(t)
			script := "#!/bin/sh\nmkdir -p \"${1#--pgdata=}/base\"\necho 'running bootstrap script ... '\necho '" + printed +
				"\nHINT:  Check free disk space.\nPANIC:  cannot abort transaction 1' >&2\nexit 1\n"
			require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte(script), 0o755))
			data := filepath.Join(dir, "data")
			err := initialize(deadline(t), pghost.Programs{Dir: dir}, owner{}, data)
			require.EqualError(t, err,
				"no space left in "+dir+": a new database takes about 60 MB; free some, or choose another directory with --dir")
			require.NoDirExists(t, data+".draft")
			require.NoDirExists(t, data)
		})
	}
}

func TestInitializePassesOtherFailuresOn(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "initdb"), []byte("#!/bin/sh\necho no locale >&2\nexit 1\n"), 0o755))
	err := initialize(deadline(t), pghost.Programs{Dir: dir}, owner{}, filepath.Join(dir, "data"))
	require.EqualError(t, err, "initialize the database: exit status 1: no locale")
}
