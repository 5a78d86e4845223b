package rest_test

import (
	"testing"

	"go.uber.org/goleak"

	"spotkeeper/internal/testkit/leaks"
	"spotkeeper/internal/testkit/postgrestest"
)

// run lets goleak look after the database server has gone.
type run struct{ m *testing.M }

func (r run) Run() int {
	code := postgrestest.Main(r.m)
	if *update {
		if err := writeNotes(); err != nil {
			panic(err)
		}
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(run{m}, leaks.Lingering()) }
