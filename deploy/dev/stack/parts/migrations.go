package parts

import (
	"context"

	"spotkeeper/deploy/dev/stack"
	"spotkeeper/internal/postgres"
)

type migrations struct {
	options   stack.Options
	addresses *stack.Addresses
}

// Migrations bring the schema up to date, before anything that uses it.
func Migrations(o stack.Options, a *stack.Addresses) stack.Part {
	return &migrations{options: o, addresses: a}
}

func (*migrations) Name() string { return "migrations" }

func (m *migrations) Start(ctx context.Context) error {
	opened, err := open(ctx, m.options, m.addresses, m.Name(), nil)
	if err != nil {
		return err
	}
	defer opened.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
	applied, err := postgres.Migrate(ctx, opened.DB)
	if err != nil {
		return err
	}
	m.options.Logger.InfoContext(ctx, "the schema is up to date", "applied", applied)
	return nil
}

// Failed is nil: they are over when they have started.
func (*migrations) Failed() <-chan error { return nil }

// Stop is never called.
func (*migrations) Stop(context.Context) error { return nil }
