package temporal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.temporal.io/server/schema/sqlite"
	"google.golang.org/protobuf/types/known/durationpb"
)

// prepare makes the database file with schema and namespace. The mark beside
// the file says that this was finished: a file without it is what a killed
// first start has left, has never served a caller, and is made anew.
func prepare(o Options) error {
	mark := o.File + ".ready"
	if exists(mark) && exists(o.File) {
		return nil
	}
	for _, leftover := range []string{mark, o.File, o.File + "-wal", o.File + "-shm"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clear %s: %w", leftover, err)
		}
	}
	sql := sqliteConfig(o.File)
	if err := sqlite.SetupSchema(sql); err != nil {
		return fmt.Errorf("make the schema of %s: %w", o.File, err)
	}
	namespace, err := sqlite.NewNamespaceConfig(clusterName, o.Namespace, false, o.SearchAttributes)
	if err != nil {
		return fmt.Errorf("describe namespace %s: %w", o.Namespace, err)
	}
	namespace.Detail.Config.Retention = durationpb.New(o.Retention)
	if err := sqlite.CreateNamespaces(sql, namespace); err != nil {
		return fmt.Errorf("make namespace %s: %w", o.Namespace, err)
	}
	if err := os.WriteFile(mark, []byte("schema and namespace are complete\n"), 0o600); err != nil {
		return fmt.Errorf("mark %s as complete: %w", o.File, err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
