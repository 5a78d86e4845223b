package door_test

import (
	"testing"

	"spotkeeper/internal/testkit/leaks"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leaks.Lingering()) }
