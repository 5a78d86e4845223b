package devtest

import (
	"context"
	"fmt"
	"maps"

	"spotkeeper/deploy/dev/embedded/loopback"
)

// Beside starts one more process of the api or the worker, as deployments run
// several, and returns where its metrics are. The environment is added to the stack's.
// It is stopped with the stack.
func (s *Stack) Beside(
	ctx context.Context,
	part, name string,
	environment map[string]string,
) (address string, err error) {
	compiled, err := build() //nolint:contextcheck // once per test process, for all of its tests
	if err != nil {
		return "", err
	}
	path := map[string]string{API: compiled.api, Worker: compiled.worker}[part]
	return s.BesideProgram(ctx, part, name, path, environment)
}

// BesideProgram is Beside with another program than the one that is compiled from the
// sources, as another version of it.
func (s *Stack) BesideProgram(
	ctx context.Context,
	part, name, path string,
	environment map[string]string,
) (address string, err error) {
	listen := map[string]string{API: "API_METRICS_LISTEN", Worker: "WORKER_METRICS_LISTEN"}[part]
	if _, err := s.part(name); err == nil || listen == "" {
		return "", fmt.Errorf("there is no second %s called %q", part, name)
	}
	ports, err := loopback.Free(2) //nolint:contextcheck // taking a port of this machine does not block
	if err != nil {
		return "", err
	}
	at, api := loopback.Addr(ports[0]), loopback.Addr(ports[1])
	p := &program{
		name:  name,
		path:  path,
		logs:  s.Dir,
		ready: answers("http://" + at + "/ready"),
		env: func() map[string]string {
			all := s.environment(listen, at, "API_LISTEN", api)
			maps.Copy(all, environment)
			return all
		},
	}
	s.mu.Lock()
	s.parts[name], s.beside = p, append(s.beside, name)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	return "http://" + at, p.start(ctx)
}
