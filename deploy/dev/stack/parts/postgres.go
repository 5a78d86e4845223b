package parts

import (
	"context"

	"spotkeeper/deploy/dev/embedded/postgres"

	"spotkeeper/deploy/dev/stack"
)

type postgresPart struct {
	options   stack.Options
	addresses *stack.Addresses
	server    *postgres.Server
}

// Postgres is the database server.
func Postgres(o stack.Options, a *stack.Addresses) stack.Part {
	return &postgresPart{options: o, addresses: a}
}

func (*postgresPart) Name() string { return "postgres" }

func (p *postgresPart) Start(ctx context.Context) error {
	var err error
	p.server, err = postgres.Start(ctx, postgres.Options{
		Dir: p.options.File("postgres"), Port: p.options.PostgresPort, Logger: p.options.Logger,
	})
	if err != nil {
		return err
	}
	p.addresses.DatabaseURL = p.server.URL
	return nil
}

func (p *postgresPart) Failed() <-chan error { return p.server.Failed() }

func (p *postgresPart) Stop(ctx context.Context) error { return p.server.Stop(ctx) }
