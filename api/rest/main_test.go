package rest_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"spotkeeper/internal/testkit/leaks"
	"spotkeeper/internal/testkit/postgrestest"
)

// run lets goleak look after the database server has gone. With -update it writes what the
// tests have seen of each route, which only the end of all of them knows.
type run struct{ m *testing.M }

func (r run) Run() int {
	code := postgrestest.Main(r.m)
	if !*update {
		return code
	}
	if err := writeNotes(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(run{m}, leaks.Lingering()) }
