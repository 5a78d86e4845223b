package temporalx_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/temporalx"
)

// environment is a process's environment in memory.
type environment map[string]string

func (e environment) Environ() []string {
	var all []string
	for k, v := range e {
		all = append(all, k+"="+v)
	}
	return all
}

func (e environment) LookupEnv(name string) (string, bool) {
	v, ok := e[name]
	return v, ok
}

func TestConnectNeedsNoServerToBeThere(t *testing.T) {
	t.Parallel()

	c, err := temporalx.Connect(temporalx.Options{Env: environment{
		"TEMPORAL_ADDRESS":     "127.0.0.1:1",
		"TEMPORAL_NAMESPACE":   "ours",
		"TEMPORAL_CONFIG_FILE": "/nonexistent",
	}})
	require.NoError(t, err)
	c.Close()
}

func TestConnectRefusesWhatIsNotASetting(t *testing.T) {
	t.Parallel()

	_, err := temporalx.Connect(temporalx.Options{Env: environment{
		"TEMPORAL_PROFILE":     "absent",
		"TEMPORAL_CONFIG_FILE": "/nonexistent",
	}})
	require.Error(t, err)
}
