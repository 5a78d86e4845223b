package cli_test

import (
	"testing"

	"go.uber.org/goleak"

	"spotkeeper/internal/testkit/postgrestest"
)

// suite lets goleak look after the database server has gone.
type suite struct{ m *testing.M }

func (s suite) Run() int { return postgrestest.Main(s.m) }

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }
