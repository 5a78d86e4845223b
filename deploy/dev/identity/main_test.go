package identity_test

import (
	"os"
	"testing"

	"spotkeeper/internal/testkit/postgrestest"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m)) }
