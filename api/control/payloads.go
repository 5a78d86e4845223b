package control

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"

	"go.temporal.io/api/common/v1"

	"spotkeeper/api/web"
	"spotkeeper/internal/domain/operators"
)

// DecodePath is where payloads are decoded: the endpoint that the Temporal UI is given,
// and the path element that it adds.
const DecodePath = "/api/temporal/codec/decode"

// PayloadDecoder opens what workflows were given and have answered.
type PayloadDecoder interface {
	// Decode fails with workflow.payload_unreadable.
	Decode(payloads []*common.Payload) ([]*common.Payload, error)
}

// Payloads are the codec server of the Temporal UI, for operators alone. It only decodes:
// nothing that people type into the Temporal UI is for our workflows.
type Payloads struct {
	Codec PayloadDecoder
	UI    string // address of the Temporal UI; empty: no page of another origin may call
}

// Guests are the origins whose pages may call with an operator's session, by path.
func (p *Payloads) Guests() map[string][]string {
	u, err := url.Parse(p.UI)
	if err != nil || u.Host == "" {
		return nil
	}
	return map[string][]string{DecodePath: {u.Scheme + "://" + u.Host}}
}

// Routes lists the endpoints.
func (p *Payloads) Routes() []web.Route {
	return []web.Route{{
		Method:   http.MethodPost,
		Path:     DecodePath,
		ID:       "decodePayloads",
		Summary:  "Decode what workflows were given and have answered, for the Temporal UI",
		Auth:     web.Admin,
		Role:     operators.Operator,
		Status:   http.StatusOK,
		MaxBody:  8 << 20, // a page of a history
		Endpoint: web.NewEndpoint(p.decode),
	}}
}

// payload is Temporal's payload in JSON, whose bytes are base64.
type payload struct {
	Metadata map[string]string `json:"metadata"`
	Data     string            `json:"data"`
}

type payloads struct {
	Payloads []payload `json:"payloads" binding:"required,max=10000"`
}

func (p *Payloads) decode(_ context.Context, in *payloads) (*payloads, error) {
	sealed := make([]*common.Payload, len(in.Payloads))
	for i, one := range in.Payloads {
		var err error
		if sealed[i], err = one.read(); err != nil {
			return nil, web.InvalidRequest.Wrap(err, "A payload is not in base64.")
		}
	}
	plain, err := p.Codec.Decode(sealed)
	if err != nil { // what was sent is not what a configured key sealed: no fault of this process
		return nil, web.InvalidRequest.Wrap(err, "%s", web.MessageOf(err))
	}
	out := &payloads{Payloads: make([]payload, len(plain))}
	for i, one := range plain {
		metadata := map[string]string{}
		for name, value := range one.GetMetadata() {
			metadata[name] = base64.StdEncoding.EncodeToString(value)
		}
		out.Payloads[i] = payload{Metadata: metadata, Data: base64.StdEncoding.EncodeToString(one.GetData())}
	}
	return out, nil
}

func (p payload) read() (*common.Payload, error) {
	data, err := base64.StdEncoding.DecodeString(p.Data)
	if err != nil {
		return nil, err
	}
	metadata := map[string][]byte{}
	for name, value := range p.Metadata {
		if metadata[name], err = base64.StdEncoding.DecodeString(value); err != nil {
			return nil, err
		}
	}
	return &common.Payload{Metadata: metadata, Data: data}, nil
}
