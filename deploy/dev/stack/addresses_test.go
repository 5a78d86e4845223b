package stack_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/deploy/dev/stack"
)

func TestTheTableShowsWhatRuns(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := stack.Addresses{
		API: "http://127.0.0.1:5000", Dir: "/state",
		Clients: []stack.Client{{Name: "Acme", ID: "c-1", Token: "secret"}},
	}

	require.NoError(t, a.WriteTable(&out))

	require.Equal(t,
		"  API          http://127.0.0.1:5000\n  state        /state\n  client Acme  c-1  token secret\n", out.String())
}

func TestTheJSONIsOneLineThatReadsBack(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	a := stack.Addresses{API: "http://127.0.0.1:5000", Temporal: "127.0.0.1:7233", Dir: "/state"}

	require.NoError(t, a.WriteJSON(&out))

	require.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")))
	var back stack.Addresses
	require.NoError(t, json.Unmarshal(out.Bytes(), &back))
	require.Equal(t, a, back)
}

func TestTheEnvironmentNamesOnlyWhatIsKnown(t *testing.T) {
	t.Parallel()
	a := stack.Addresses{Temporal: "127.0.0.1:7233", Namespace: "default"}

	require.Equal(t, map[string]string{
		"TEMPORAL_ADDRESS":     "127.0.0.1:7233",
		"TEMPORAL_NAMESPACE":   "default",
		"TEMPORAL_CONFIG_FILE": os.DevNull,
		"EC2_SIMULATED":        "true",
		"PRICE_BACKFILL":       "168h",
		"CORS_ORIGINS":         "http://localhost:3000,http://localhost:5173,http://127.0.0.1:3000,http://127.0.0.1:5173",
	}, a.Environment())
}
