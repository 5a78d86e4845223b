package entity_test

import (
	"os"
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm/schema"

	"spotkeeper/internal/postgres/entity"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }

// column is a column as the schema has it.
type column struct {
	kind     string
	nullable bool
}

// kinds are the Go types that may hold the value of a column.
var kinds = map[string][]string{
	"text":                     {"string"},
	"integer":                  {"int"},
	"bigint":                   {"int64"},
	"boolean":                  {"bool"},
	"numeric":                  {"float64"},
	"timestamp with time zone": {"time.Time"},
	"date":                     {"time.Time"},
	"jsonb":                    {"json.RawMessage"},
	"bytea":                    {"[]uint8"},
}

// TestStructsMatchTheSchema: every mapped field is a column of its table, of a type that
// holds it, and a pointer exactly when the column may be null; the keys are the table's.
func TestStructsMatchTheSchema(t *testing.T) {
	t.Parallel()
	db := postgrestest.Open(t)
	for _, e := range entity.MappedTables() {
		s, err := schema.Parse(e, &sync.Map{}, schema.NamingStrategy{})
		require.NoError(t, err)
		rows, err := db.Pool.Query(t.Context(), `
			SELECT column_name, data_type, is_nullable = 'YES'
			FROM information_schema.columns
			WHERE table_schema = 'public' AND table_name = $1`, s.Table)
		require.NoError(t, err)
		columns := map[string]column{}
		for rows.Next() {
			var name string
			var c column
			require.NoError(t, rows.Scan(&name, &c.kind, &c.nullable))
			columns[name] = c
		}
		require.NoError(t, rows.Err())
		for _, f := range s.Fields {
			if f.DBName == "" { // an association
				continue
			}
			c, there := columns[f.DBName]
			require.True(t, there, "%s.%s is no column", s.Table, f.DBName)
			goType := f.FieldType
			pointer := goType.Kind() == reflect.Pointer
			if pointer {
				goType = goType.Elem()
			}
			require.Contains(t, kinds[c.kind], goType.String(), "%s.%s is %s", s.Table, f.DBName, c.kind)
			if goType.Kind() != reflect.Slice {
				require.Equal(t, c.nullable, pointer, "%s.%s", s.Table, f.DBName)
			}
		}
		var keys []string
		for _, f := range s.PrimaryFields {
			keys = append(keys, f.DBName)
		}
		require.ElementsMatch(t, primaryKey(t, db, s.Table), keys, s.Table)
	}
}

func primaryKey(t *testing.T, db *pg.DB, table string) []string {
	t.Helper()
	var keys []string
	require.NoError(t, db.Pool.QueryRow(t.Context(), `
		SELECT array_agg(a.attname::text)
		FROM pg_index i
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
		WHERE i.indrelid = $1::regclass AND i.indisprimary`, table).Scan(&keys))
	return keys
}
