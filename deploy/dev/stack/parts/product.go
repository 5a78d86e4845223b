package parts

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"time"

	"spotkeeper/deploy/dev/embedded/loopback"
	"spotkeeper/internal/app"
	"spotkeeper/internal/config"
	"spotkeeper/internal/temporalx"

	"spotkeeper/deploy/dev/stack"
)

// product is one of Spotkeeper's own processes, run inside this one. It is
// configured by the variables that configure it in production, from the
// addresses of the parts that were started before it.
type product struct {
	name      string
	options   stack.Options
	addresses *stack.Addresses
	// port is what the flag asked for, listen the variable it becomes.
	port   int
	flag   string
	listen string
	found  *string // the field of the addresses this part fills in
	// metrics is a second listener, when the part has one.
	metrics *listener
	run     func(*app.App, context.Context) error

	cancel context.CancelFunc
	ended  chan struct{}
	failed chan error
}

// Worker runs the workflows and activities.
func Worker(o stack.Options, a *stack.Addresses) stack.Part {
	return &product{
		name: "worker", options: o, addresses: a,
		port: o.MetricsPort, flag: "metrics-port", listen: "WORKER_METRICS_LISTEN", found: &a.WorkerMetrics,
		run: (*app.App).RunWorker, failed: make(chan error, 1),
	}
}

// API serves agents, the web page and operators.
func API(o stack.Options, a *stack.Addresses) stack.Part {
	return &product{
		name: "api", options: o, addresses: a,
		port: o.APIPort, flag: "api-port", listen: "API_LISTEN", found: &a.API,
		metrics: &listener{
			port:     o.APIMetricsPort,
			flag:     "api-metrics-port",
			variable: "API_METRICS_LISTEN",
			found:    &a.APIMetrics,
		},
		run: (*app.App).RunAPI, failed: make(chan error, 1),
	}
}

// listener is a second address that a part listens on.
type listener struct {
	port     int
	flag     string
	variable string
	found    *string
}

// claim chooses the port and adds it to the part's environment.
func (l *listener) claim(environment map[string]string) error {
	if l == nil {
		return nil
	}
	port, err := loopback.Claim(l.port, l.flag)
	if err != nil {
		return err
	}
	environment[l.variable], *l.found = loopback.Addr(port), "http://"+loopback.Addr(port)
	return nil
}

func (p *product) Name() string { return p.name }

func (p *product) Start(ctx context.Context) error {
	port, err := loopback.Claim(p.port, p.flag)
	if err != nil {
		return err
	}
	address := loopback.Addr(port)
	more := map[string]string{p.listen: address}
	if err := p.metrics.claim(more); err != nil {
		return err
	}
	// It lives until Stop, not as long as the context of its start.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	opened, err := open(life, p.options, p.addresses, p.name, more)
	if err != nil {
		cancel()
		return err
	}
	p.cancel, p.ended = cancel, make(chan struct{})
	go func() {
		defer close(p.ended)
		defer opened.Close() //nolint:contextcheck // the last spans are sent after ctx has ended
		if err := p.run(opened, life); life.Err() == nil {
			p.failed <- fmt.Errorf("it returned: %w", err)
		}
	}()
	if err := p.awaitReady(ctx, "http://"+address+"/ready"); err != nil {
		return stack.Also(err, p.Stop(context.WithoutCancel(ctx)))
	}
	*p.found = "http://" + address
	if p.found == &p.addresses.API && p.addresses.OperatorToken != "" {
		p.addresses.Console = "http://" + address + "/login#token=" + url.QueryEscape(p.addresses.FirstOperator())
	}
	return nil
}

// awaitReady asks until the answer is 200, which includes that its dependencies
// answered it.
func (p *product) awaitReady(ctx context.Context, url string) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := get(ctx, client, url)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case failure := <-p.failed:
			return failure
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready: %w: %w", ctx.Err(), err)
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	return nil
}

func (p *product) Failed() <-chan error { return p.failed }

func (p *product) Stop(ctx context.Context) error {
	p.cancel()
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop the %s: %w", p.name, ctx.Err())
	}
}

// open makes the product's connections from the stack's addresses.
func open(
	ctx context.Context,
	o stack.Options,
	a *stack.Addresses,
	name string,
	more map[string]string,
) (*app.App, error) {
	environment := a.Environment()
	environment["ARTIFACTS_URL"] = o.File("artifacts")
	environment["TEMPORAL_UI_URL"] = a.TemporalUI
	maps.Copy(environment, o.Environment)
	maps.Copy(environment, more)
	c, err := config.Load(environment)
	if err != nil {
		return nil, fmt.Errorf("configure the %s: %w", name, err)
	}
	return app.Open(ctx, c, app.Options{
		Log:      o.Logger.With("process", name),
		Process:  name,
		Temporal: temporalx.Options{Env: variables(environment)},
	})
}

// variables is an environment for the Temporal SDK that has nothing but what
// the stack says: a developer's own profile is not to reach in.
type variables map[string]string

// Environ implements envconfig.EnvLookup.
func (v variables) Environ() []string {
	all := make([]string, 0, len(v))
	for name, value := range v {
		all = append(all, name+"="+value)
	}
	return all
}

// LookupEnv implements envconfig.EnvLookup.
func (v variables) LookupEnv(name string) (string, bool) {
	value, ok := v[name]
	return value, ok
}
