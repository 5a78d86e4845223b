package devtest

import (
	"context"
	"fmt"
	"maps"

	"spotkeeper/deploy/dev/embedded/loopback"
)

// Beside starts one more process of the api or the worker, as deployments run
// several, and returns where its metrics are. The environment is added to the stack's.
// It is stopped with the stack. Call it from the test's own goroutine: the parts
// are not locked.
func (s *Stack) Beside(
	ctx context.Context,
	part, name string,
	environment map[string]string,
) (address string, err error) {
	like, err := s.part(part)
	if err != nil {
		return "", err
	}
	listen := map[string]string{API: "API_METRICS_LISTEN", Worker: "WORKER_METRICS_LISTEN"}[part]
	if _, taken := s.parts[name]; taken || listen == "" {
		return "", fmt.Errorf("there is no second %s called %q", part, name)
	}
	ports, err := loopback.Free(2) //nolint:contextcheck // taking a port of this machine does not block
	if err != nil {
		return "", err
	}
	at, api := loopback.Addr(ports[0]), loopback.Addr(ports[1])
	p := &program{
		name:  name,
		path:  like.path,
		logs:  s.Dir,
		ready: answers("http://" + at + "/ready"),
		env: func() map[string]string {
			all := s.environment(listen, at, "API_LISTEN", api)
			maps.Copy(all, environment)
			return all
		},
	}
	s.parts[name], s.beside = p, append(s.beside, name)
	ctx, cancel := context.WithTimeout(ctx, bootTime)
	defer cancel()
	return "http://" + at, p.start(ctx)
}
