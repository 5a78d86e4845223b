package temporalx_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/sealing"
	"spotkeeper/internal/temporalx"
)

// codec is one with the keys of those ids, of which the first seals.
func codec(t *testing.T, seal bool, ids ...string) *temporalx.Codec {
	t.Helper()
	var keys []sealing.Key
	for _, id := range ids {
		secret := make([]byte, sealing.KeySize)
		copy(secret, "key "+id)
		keys = append(keys, sealing.Key{ID: id, Secret: secret})
	}
	all, err := sealing.NewKeys(keys...)
	require.NoError(t, err)
	return &temporalx.Codec{Box: all.BoxFor("temporal"), Seal: seal}
}

// TestPayloadsAreSealedAndOpened by whichever key they were sealed with, while keys are
// replaced and while sealing is turned on and off.
func TestPayloadsAreSealedAndOpened(t *testing.T) {
	t.Parallel()
	type secret struct{ Instance string }
	in := secret{"i-0123456789abcdef0"}
	old, both, fresh := codec(t, true, "old"), codec(t, true, "new", "old"), codec(t, true, "new")
	off := codec(t, false, "new", "old")
	for _, c := range []struct {
		name   string
		by, to *temporalx.Codec
		code   fault.Code
	}{
		{"itself", old, old, ""},
		{"a key is added", old, both, ""},
		{"the new key seals", both, fresh, ""},
		{"the old key is gone", old, fresh, temporalx.PayloadUnreadable},
		{"sealing was turned off", both, off, ""},
		{"sealing was turned on", off, both, ""},
		{"a process of before", nil, both, ""},
	} {
		p, err := c.by.Converter().ToPayload(in)
		require.NoError(t, err)
		var out secret
		err = c.to.Converter().FromPayload(p, &out)
		if c.code != "" {
			require.True(t, fault.Is(err, c.code), "%s: %v", c.name, err)
			continue
		}
		require.NoError(t, err, c.name)
		require.Equal(t, in, out, c.name)
		if c.by == both || c.by == old {
			require.NotContains(t, string(p.GetData()), in.Instance, c.name)
			require.Equal(t, "binary/encrypted", string(p.GetMetadata()[converter.MetadataEncoding]), c.name)
		}
	}
}

// TestAChangedPayloadIsNotOpened: the cipher says who wrote it, too.
func TestAChangedPayloadIsNotOpened(t *testing.T) {
	t.Parallel()
	c := codec(t, true, "one")
	sealed, err := c.Encode([]*common.Payload{{Data: []byte("text")}})
	require.NoError(t, err)
	data := sealed[0].GetData()
	data[len(data)-1] ^= 1
	_, err = c.Decode(sealed)
	require.True(t, fault.Is(err, temporalx.PayloadUnreadable))
}
