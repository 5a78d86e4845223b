package temporal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/server/common/authorization"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/temporal"

	"spotkeeper/deploy/dev/embedded/dirlock"
	"spotkeeper/deploy/dev/embedded/loopback"
)

// Server is a running Temporal server with its Web UI.
type Server struct {
	// HostPort is where clients and workers connect.
	HostPort string
	// UIURL is the address of the Web UI, empty when it was left out.
	UIURL string
	// Namespace is the one that was registered.
	Namespace string

	lock   *dirlock.Lock
	server temporal.Server
	ui     *webUI
	failed chan error
	// level is warn while the server serves. While it boots and stops its
	// services miss each other for moments and warn about each, which says
	// nothing to an operator: then it is error.
	level slog.LevelVar
}

// Start runs the server and returns when it answers for its namespace and the
// Web UI serves pages. The caller must Stop it.
//
// A port in use is a *loopback.TakenError naming --temporal-port or --ui-port;
// a file another process runs on is a *dirlock.HeldError.
func Start(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	p, err := claimPorts(o)
	if err != nil {
		return nil, err
	}
	lock, err := dirlock.Acquire(o.File + ".lock")
	if err != nil {
		return nil, err
	}
	s := &Server{HostPort: loopback.Addr(p.frontend), Namespace: o.Namespace, lock: lock, failed: make(chan error, 1)}
	s.level.Set(slog.LevelError)
	if err := s.start(ctx, o, p); err != nil {
		lock.Release()
		return nil, err
	}
	s.level.Set(slog.LevelWarn)
	return s, nil
}

func (s *Server) start(ctx context.Context, o Options, p ports) error {
	if err := prepare(o); err != nil {
		return err
	}
	var err error
	if s.server, err = s.build(o, p); err != nil {
		return err
	}
	if err := s.boot(ctx); err != nil {
		return err
	}
	if err := s.finish(ctx, o); err != nil {
		return also(err, s.end(context.WithoutCancel(ctx)))
	}
	return nil
}

// finish is what is left once the services run.
func (s *Server) finish(ctx context.Context, o Options) error {
	if err := s.awaitNamespace(ctx, o); err != nil {
		return err
	}
	if o.NoUI {
		return nil
	}
	var err error
	if s.ui, err = startUI(ctx, o.UIPort, s.HostPort, o.Namespace); err != nil {
		return err
	}
	s.UIURL = s.ui.url
	return nil
}

func claimPorts(o Options) (ports, error) {
	frontend, err := loopback.Claim(o.Port, "temporal-port")
	if err != nil {
		return ports{}, err
	}
	inner, err := loopback.Free(4)
	if err != nil {
		return ports{}, err
	}
	return ports{
		frontend: frontend, frontendHTTP: inner[0],
		history: inner[1], matching: inner[2], worker: inner[3],
	}, nil
}

func (s *Server) build(o Options, p ports) (temporal.Server, error) {
	log := &logger{slog: slog.New(leveled{o.Logger.Handler(), &s.level}), fatal: s.fail}
	cfg := serverConfig(o, p)
	authorizer, err := authorization.GetAuthorizerFromConfig(&cfg.Global.Authorization)
	if err != nil {
		return nil, fmt.Errorf("make the Temporal server's authorizer: %w", err)
	}
	claims, err := authorization.GetClaimMapperFromConfig(&cfg.Global.Authorization, log)
	if err != nil {
		return nil, fmt.Errorf("make the Temporal server's claim mapper: %w", err)
	}
	server, err := temporal.NewServer(
		temporal.WithConfig(cfg),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(hosts(p)),
		temporal.WithLogger(log),
		temporal.WithAuthorizer(authorizer),
		temporal.WithClaimMapper(func(*config.Config) authorization.ClaimMapper { return claims }),
		temporal.WithDynamicConfigClient(tuning()),
	)
	if err != nil {
		return nil, fmt.Errorf("build the Temporal server: %w", err)
	}
	return server, nil
}

// boot starts the services in a goroutine of their own, because the server
// takes no context and a fatal log ends the goroutine that wrote it.
func (s *Server) boot(ctx context.Context) error {
	started := make(chan error, 1)
	go func() { started <- s.server.Start() }()
	select {
	case err := <-started:
		if err != nil {
			return fmt.Errorf("start the Temporal server: %w", err)
		}
		return nil
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("start the Temporal server: %w", ctx.Err())
	}
}

// Failed delivers the reason when the server cannot go on.
func (s *Server) Failed() <-chan error { return s.failed }

func (s *Server) fail(reason string) {
	select {
	case s.failed <- fmt.Errorf("the Temporal server gave up: %s", reason):
	default: // The first reason is the one that counts.
	}
}

// Stop ends the Web UI, then the server. It waits until the services have
// drained or the context is done.
func (s *Server) Stop(ctx context.Context) error {
	defer s.lock.Release()
	return s.end(ctx)
}

func (s *Server) end(ctx context.Context) error {
	s.level.Set(slog.LevelError)
	if s.ui != nil {
		s.ui.stop()
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.server.Stop() }()
	select {
	case err := <-stopped:
		if err != nil {
			return fmt.Errorf("stop the Temporal server: %w", err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the Temporal server: %w", ctx.Err())
	}
}

// retry calls f every 50 ms until it succeeds or the context is done, and then
// gives f's last error.
func retry(ctx context.Context, what string, f func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := f(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		}
	}
}

// also keeps both of two errors, the first as the reason.
func also(first, then error) error {
	if then == nil {
		return first
	}
	return fmt.Errorf("%w (and then: %w)", first, then)
}
