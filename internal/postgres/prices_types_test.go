package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/postgres/prices"
)

// TestFittingTypes: the types that could replace those in use are those of at least their
// size and at most twice it, of the same kind.
func TestFittingTypes(t *testing.T) {
	t.Parallel()
	g := guard(t)
	g.exec(`
		INSERT INTO instance_types (region, name, vcpus, memory_mib, architectures, burstable, accelerators, local_gb,
			current, bare_metal)
		SELECT 'us-east-1', name, vcpus, memory, ARRAY['x86_64'], burstable, 0, 0, true, false
		FROM (VALUES ('t3.medium', 2, 4096, true), ('t3.large', 2, 8192, true), ('t3.xlarge', 4, 16384, true),
			('m5.large', 2, 8192, false)) x (name, vcpus, memory, burstable)`)
	got, err := (&prices.Prices{DB: g.db}).Fitting(t.Context())
	require.NoError(t, err)
	require.Equal(t, []activities.TypeInRegion{{Region: "us-east-1", InstanceType: "t3.large"}}, got)
}
