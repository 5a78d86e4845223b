package parts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"spotkeeper/deploy/dev/embedded/dirlock"
	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/ec2sim"
	"spotkeeper/internal/ec2sim/client"

	"spotkeeper/deploy/dev/stack"
)

type ec2Part struct {
	options   stack.Options
	addresses *stack.Addresses
	lock      *dirlock.Lock
	cloud     *ec2sim.Server
	http      *http.Server
	failed    chan error
}

// EC2 is the simulated cloud.
func EC2(o stack.Options, a *stack.Addresses) stack.Part {
	return &ec2Part{options: o, addresses: a, failed: make(chan error, 1)}
}

func (*ec2Part) Name() string { return "ec2sim" }

func (p *ec2Part) Start(ctx context.Context) error {
	port, err := loopback.Claim(p.options.EC2Port, "ec2-port")
	if err != nil {
		return err
	}
	state := p.options.File("ec2.json")
	if p.lock, err = dirlock.Acquire(state + ".lock"); err != nil {
		return err
	}
	if err := p.serve(ctx, state, port); err != nil {
		p.lock.Release()
		return err
	}
	p.addresses.EC2 = "http://" + loopback.Addr(port)
	p.addresses.EventQueue = p.addresses.EC2 + "/" + client.DefaultAccount + "/" + ec2sim.EventQueue
	return nil
}

func (p *ec2Part) serve(ctx context.Context, state string, port int) error {
	var err error
	p.cloud, err = ec2sim.Open(state, ec2sim.Options{
		Seed:      p.options.EC2Seed,
		Delays:    p.options.EC2Delays,
		Retention: 24 * time.Hour,
		Logger:    p.options.Logger,
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", loopback.Addr(port))
	if err != nil {
		return stack.Also(fmt.Errorf("listen for the EC2 simulator: %w", err), p.cloud.Close())
	}
	p.http = &http.Server{
		Handler:           p.cloud,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(p.options.Logger.Handler(), slog.LevelWarn),
	}
	go func() {
		if err := p.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			p.failed <- err
		}
	}()
	return nil
}

func (p *ec2Part) Failed() <-chan error { return p.failed }

// Stop first ends the calls that wait, then the listener, since Shutdown waits
// for them.
func (p *ec2Part) Stop(ctx context.Context) error {
	defer p.lock.Release()
	return stack.Also(p.cloud.Close(), p.http.Shutdown(ctx))
}
