package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"spotkeeper/deploy/dev/devtest"
)

// TestPayloadsAreSealed: with TEMPORAL_ENCRYPT_PAYLOADS nothing of an agent can be read in
// Temporal but the ids of workflows and the search attributes, and operators see it by way
// of the codec route.
func TestPayloadsAreSealed(t *testing.T) {
	t.Parallel()
	s := devtest.Start(t, devtest.Options{Environment: map[string]string{"TEMPORAL_ENCRYPT_PAYLOADS": "true"}})
	ctx := deadline(t, 4*time.Minute)
	f := newFleet(t, s, newTenant(t, s))
	m, at := mustJoin(t, f, "sealed")
	before, err := m.state(ctx)
	require.NoError(t, err)
	require.NoError(t, m.reportPrices(ctx, at))
	require.NoError(t, m.outOfTheBlue(ctx, before))
	_, err = m.awaitMove(ctx, at)
	require.NoError(t, err)

	events := s.Dial(ctx, t).GetWorkflowHistory(ctx, "guardian/"+m.id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	var sealed []any
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		text, err := protojson.Marshal(event)
		require.NoError(t, err)
		var read any
		require.NoError(t, json.Unmarshal(text, &read))
		sealed = append(sealed, payloadsIn(read)...)
	}
	require.NotEmpty(t, sealed)
	plain := 0
	for _, one := range sealed {
		if one.(map[string]any)["metadata"].(map[string]any)["encoding"] != "YmluYXJ5L2VuY3J5cHRlZA==" { // binary/encrypted
			plain++
		}
	}
	require.Zero(t, plain, "%v", sealed)

	const path = "/api/temporal/codec/decode"
	var opened struct {
		Payloads []struct {
			Metadata map[string][]byte
			Data     []byte
		}
	}
	status, err := s.Call(ctx, http.MethodPost, path, s.FirstOperator(), map[string]any{"payloads": sealed}, &opened)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	require.Len(t, opened.Payloads, len(sealed))
	var all strings.Builder
	for _, one := range opened.Payloads {
		all.Write(one.Data)
		all.WriteByte('\n')
	}
	require.Contains(t, all.String(), at, "the instance of the notice")
	status, err = s.Call(ctx, http.MethodPost, path, m.who.Token, map[string]any{"payloads": sealed}, nil)
	require.NoError(t, err)
	require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, status, "a tenant's token")
}

// payloadsIn are the payloads in a history event, wherever they stand. Search attributes
// are payloads too, which the server has to read.
func payloadsIn(value any) (found []any) {
	switch v := value.(type) {
	case map[string]any:
		metadata, is := v["metadata"].(map[string]any)
		if _, has := metadata["encoding"]; is && has {
			return []any{v}
		}
		for name, inner := range v {
			if name != "searchAttributes" && name != "indexedFields" {
				found = append(found, payloadsIn(inner)...)
			}
		}
	case []any:
		for _, inner := range v {
			found = append(found, payloadsIn(inner)...)
		}
	}
	return found
}
