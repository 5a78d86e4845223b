package rollout_test

import (
	"testing"

	"spotkeeper/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.VerifyTestMain(m) }
