package postgres_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// lintedFrom is the first migration that the rules hold for. Earlier ones have run before
// the first release, on databases that were small.
const lintedFrom = 158

// rule is what a migration must not do while processes of this version and of the one
// before write beside it.
type rule struct {
	found *regexp.Regexp
	why   string
	// table is the group of found that names the table: one that the same file makes is free.
	table int
}

func found(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?is)` + pattern) }

var rules = []rule{
	{found(`^CREATE (?:UNIQUE )?INDEX (?:IF NOT EXISTS )?(?:\w+ )?ON (?:ONLY )?(\w+)`),
		"it locks writers out while the index is built: CREATE INDEX CONCURRENTLY, in a file with -- +goose NO TRANSACTION", 1},
	{found(`^ALTER TABLE (?:ONLY )?(\w+) .*ALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE\b`),
		"it writes the table anew: add a column, write both, read the new one, drop the old one a release later", 1},
	{found(`^ALTER TABLE (?:ONLY )?(\w+) .*ALTER (?:COLUMN )?\w+ SET NOT NULL\b`),
		"it reads the whole table under a lock: add CHECK (… IS NOT NULL) NOT VALID, and validate it in a later file", 1},
	{found(`^ALTER TABLE (?:ONLY )?(\w+) .*\bRENAME\b`), "processes of the version before know the old name", 1},
	{found(`^(?:LOCK TABLE|VACUUM FULL|CLUSTER|REINDEX (?:TABLE|INDEX|SCHEMA|DATABASE) \w+|TRUNCATE)\b()`), "it locks a table", 1},
}

// checks are rules that a pattern alone cannot say.
func checks(statement string) (table, why string) {
	upper := strings.ToUpper(statement)
	name := ""
	if m := found(`^ALTER TABLE (?:ONLY )?(\w+)`).FindStringSubmatch(statement); m != nil {
		name = m[1]
	}
	switch {
	case name != "" && found(`ADD CONSTRAINT \w+ (CHECK|FOREIGN KEY)`).MatchString(statement) && !strings.Contains(upper, "NOT VALID"):
		return name, "it reads the whole table under a lock: add it NOT VALID, and validate it in a later file"
	case name != "" && found(`ADD (COLUMN )?\w+ [^,]*\bCHECK\b`).MatchString(statement) && !strings.Contains(upper, "ADD CONSTRAINT"):
		return name, "the check of a new column reads the whole table: add the constraint by itself, NOT VALID"
	case name != "" && found(`ADD COLUMN[^,]*NOT NULL`).MatchString(statement) && !found(`ADD COLUMN[^,]*DEFAULT`).MatchString(statement):
		return name, "processes of the version before do not fill the column: give it a DEFAULT"
	case name != "" && found(`ADD COLUMN[^,]*DEFAULT (clock_timestamp|random|gen_random_uuid)`).MatchString(statement):
		return name, "a default that differs from row to row writes the table anew"
	case found(`^(UPDATE \w+\s+SET|DELETE FROM \w+)`).MatchString(statement) && !strings.Contains(upper, "WHERE"):
		return "", "it writes all rows in one transaction: let a job do it in parts"
	}
	return "", ""
}

// lint answers what is wrong with a migration, statement by statement. A statement that
// drops what no process uses any more says so: -- contract: unused since <version>.
func lint(file string) (problems []string) {
	up, _, _ := strings.Cut(file, "-- +goose Down")
	concurrently := strings.Contains(strings.ToUpper(up), "CONCURRENTLY")
	if concurrently && !strings.Contains(up, "-- +goose NO TRANSACTION") {
		problems = append(problems, "CONCURRENTLY needs -- +goose NO TRANSACTION")
	}
	made := map[string]bool{}
	for _, m := range found(`CREATE TABLE (?:IF NOT EXISTS )?(\w+)`).FindAllStringSubmatch(up, -1) {
		made[m[1]] = true
	}
	comment := regexp.MustCompile(`(?m)--.*$`)
	for _, raw := range strings.Split(up, ";") {
		contract := strings.Contains(raw, "-- contract: ")
		statement := strings.Join(strings.Fields(comment.ReplaceAllString(raw, "")), " ")
		for _, r := range rules {
			if m := r.found.FindStringSubmatch(statement); m != nil && !made[m[r.table]] {
				problems = append(problems, statement+": "+r.why)
			}
		}
		if table, why := checks(statement); why != "" && !made[table] {
			problems = append(problems, statement+": "+why)
		}
		if found(`^DROP (TABLE|FUNCTION)|^ALTER TABLE .*DROP COLUMN`).MatchString(statement) && !contract {
			problems = append(problems, statement+": processes of the version before may use it: -- contract: unused since <version>")
		}
	}
	return problems
}

// TestMigrationsLetTwoVersionsRun side by side, and lock no writer out for long.
func TestMigrationsLetTwoVersionsRun(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("migrations/*.sql")
	require.NoError(t, err)
	linted := 0
	for _, file := range files {
		number, err := strconv.Atoi(filepath.Base(file)[:4])
		require.NoError(t, err)
		if number < lintedFrom {
			continue
		}
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Empty(t, lint(string(content)), file)
		linted++
	}
	require.Positive(t, linted)
}

// TestTheLinterFindsWhatLocks, and lets pass what does not.
func TestTheLinterFindsWhatLocks(t *testing.T) {
	t.Parallel()
	for statement, bad := range map[string]bool{
		"CREATE INDEX a_idx ON agents (id)":                                                 true,
		"CREATE UNIQUE INDEX a_idx ON agents (id)":                                          true,
		"CREATE INDEX CONCURRENTLY a_idx ON agents (id)":                                    true, // without NO TRANSACTION
		"CREATE TABLE x (id text); CREATE INDEX x_idx ON x (id)":                            false,
		"ALTER TABLE agents ADD COLUMN x text NOT NULL":                                     true,
		"ALTER TABLE agents ADD COLUMN x text NOT NULL DEFAULT ''":                          false,
		"ALTER TABLE agents ADD COLUMN x text":                                              false,
		"ALTER TABLE agents ADD COLUMN x int NOT NULL DEFAULT 1 CONSTRAINT c CHECK (x > 0)": true,
		"ALTER TABLE agents ADD COLUMN x uuid DEFAULT gen_random_uuid()":                    true,
		"ALTER TABLE agents ADD CONSTRAINT c CHECK (x > 0)":                                 true,
		"ALTER TABLE agents ADD CONSTRAINT c CHECK (x > 0) NOT VALID":                       false,
		"ALTER TABLE agents ADD CONSTRAINT c FOREIGN KEY (x) REFERENCES y":                  true,
		"ALTER TABLE agents VALIDATE CONSTRAINT c":                                          false,
		"ALTER TABLE agents ALTER COLUMN x TYPE bigint":                                     true,
		"ALTER TABLE agents ALTER COLUMN x SET NOT NULL":                                    true,
		"ALTER TABLE agents RENAME COLUMN x TO y":                                           true,
		"ALTER TABLE agents DROP COLUMN x":                                                  true,
		"-- contract: unused since 1.4\nALTER TABLE agents DROP COLUMN x":                   false,
		"DROP TABLE agents":       true,
		"LOCK TABLE agents":       true,
		"VACUUM FULL agents":      true,
		"UPDATE agents SET x = 1": true,
		"UPDATE agents SET x = 1 WHERE x IS NULL AND id IN (SELECT id FROM agents LIMIT 10)": false,
		"ALTER TABLE agents SET (fillfactor = 50)":                                           false,
	} {
		require.Equal(t, bad, len(lint("-- +goose Up\n"+statement)) > 0, statement)
	}
	require.Empty(t, lint("-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY a_idx ON agents (id)"))
}
