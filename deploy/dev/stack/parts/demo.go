package parts

import (
	"context"
	"fmt"
	"io"

	"spotkeeper/deploy/dev/demo"

	"spotkeeper/deploy/dev/stack"
)

type demoPart struct {
	options   stack.Options
	addresses *stack.Addresses
	out       io.Writer
	begin     <-chan struct{}

	cancel context.CancelFunc
	ended  chan struct{}
	failed chan error
}

// Demo is the simulated fleet. Its clients exist when it has started; it comes
// to life, and writes its sentences to out, once begin is closed.
func Demo(o stack.Options, a *stack.Addresses, out io.Writer, begin <-chan struct{}) stack.Part {
	return &demoPart{
		options:   o,
		addresses: a,
		out:       out,
		begin:     begin,
		ended:     make(chan struct{}),
		failed:    make(chan error, 1),
	}
}

func (*demoPart) Name() string { return "demo" }

func (d *demoPart) Start(ctx context.Context) error {
	o := demo.Options{
		AdminToken: d.addresses.FirstOperator(),
		API:        d.addresses.API, EC2: d.addresses.EC2,
		StateFile: d.options.File("demo.json"),
		Out:       d.out,
		Log:       d.options.Logger.With("process", "demo"),
	}
	clients, err := demo.Prepare(ctx, o)
	if err != nil {
		return err
	}
	for _, c := range clients {
		d.addresses.Clients = append(d.addresses.Clients, stack.Client{Name: c.Name, ID: c.ID, Token: c.Token})
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancel = cancel
	go d.live(life, o)
	return nil
}

func (d *demoPart) live(ctx context.Context, o demo.Options) {
	defer close(d.ended)
	select {
	case <-d.begin:
	case <-ctx.Done():
		return
	}
	if err := demo.Run(ctx, o); err != nil && ctx.Err() == nil {
		d.failed <- err
	}
}

func (d *demoPart) Failed() <-chan error { return d.failed }

func (d *demoPart) Stop(ctx context.Context) error {
	d.cancel()
	select {
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the demo: %w", ctx.Err())
	}
}
