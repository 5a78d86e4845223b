package temporalx

import (
	"fmt"

	"go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/proto"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/sealing"
)

// PayloadUnreadable means that a payload was sealed with a key that is not configured.
var PayloadUnreadable = fault.Define("workflow.payload_unreadable", fault.Internal)

// The metadata of a sealed payload.
const (
	encodingKey    = "encoding"
	sealedEncoding = "binary/encrypted" // as Temporal's own examples name it
	sealedFor      = "payload"          // a payload may move between workflows, so it is bound to no row
)

// Codec seals what is sent to Temporal with AES-256-GCM, by the keys of the deployment,
// and opens it again. It opens payloads that were never sealed as they are, so sealing can
// be turned on and off while workflows run.
type Codec struct {
	Box  sealing.Box
	Seal bool // false: only open
}

// Encode implements converter.PayloadCodec.
func (c *Codec) Encode(payloads []*common.Payload) ([]*common.Payload, error) {
	if !c.Seal {
		return payloads, nil
	}
	out := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := proto.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("write a payload: %w", err)
		}
		sealed, err := c.Box.Seal(string(plain), sealedFor)
		if err != nil {
			return nil, fmt.Errorf("seal a payload: %w", err)
		}
		out[i] = &common.Payload{Metadata: map[string][]byte{encodingKey: []byte(sealedEncoding)}, Data: sealed}
	}
	return out, nil
}

// Decode implements converter.PayloadCodec. Fails with workflow.payload_unreadable.
func (c *Codec) Decode(payloads []*common.Payload) ([]*common.Payload, error) {
	out := make([]*common.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[encodingKey]) != sealedEncoding {
			out[i] = p
			continue
		}
		plain, err := c.Box.Open(p.GetData(), sealedFor)
		if err != nil {
			return nil, PayloadUnreadable.Wrap(err, "A payload in Temporal was sealed with a key that is not configured: "+
				"add that key to SECRET_KEYS.")
		}
		out[i] = &common.Payload{}
		if err := proto.Unmarshal([]byte(plain), out[i]); err != nil {
			return nil, PayloadUnreadable.Wrap(err, "A payload in Temporal is damaged.")
		}
	}
	return out, nil
}

// Converter is the converter of payloads that goes with a codec; the SDK's own without one.
func (c *Codec) Converter() converter.DataConverter {
	if c == nil {
		return converter.GetDefaultDataConverter()
	}
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
}

// failures also seals the texts of errors and stacks, while the codec seals.
func (c *Codec) failures() converter.FailureConverter {
	return temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter:          c.Converter(),
		EncodeCommonAttributes: c.Seal,
	})
}
