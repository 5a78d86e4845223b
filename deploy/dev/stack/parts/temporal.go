package parts

import (
	"context"

	"spotkeeper/deploy/dev/embedded/temporal"

	"spotkeeper/deploy/dev/stack"
)

type temporalPart struct {
	options   stack.Options
	addresses *stack.Addresses
	server    *temporal.Server
}

// Temporal is the Temporal server and its Web UI, in this process.
func Temporal(o stack.Options, a *stack.Addresses) stack.Part {
	return &temporalPart{options: o, addresses: a}
}

func (*temporalPart) Name() string { return "temporal" }

func (p *temporalPart) Start(ctx context.Context) error {
	var err error
	p.server, err = temporal.Start(ctx, temporal.Options{
		File: p.options.File("temporal.db"), Port: p.options.TemporalPort, UIPort: p.options.UIPort,
		Logger: p.options.Background,
	})
	if err != nil {
		return err
	}
	p.addresses.Temporal = p.server.HostPort
	p.addresses.TemporalUI = p.server.UIURL
	p.addresses.Namespace = p.server.Namespace
	return nil
}

func (p *temporalPart) Failed() <-chan error { return p.server.Failed() }

func (p *temporalPart) Stop(ctx context.Context) error { return p.server.Stop(ctx) }
