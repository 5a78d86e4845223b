package temporal

import (
	"context"
	"fmt"
	"log/slog"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

// awaitNamespace returns when the server answers for the namespace and has
// every search attribute of the options: a database file can be older than the
// code that starts it.
func (s *Server) awaitNamespace(ctx context.Context, o Options) error {
	c, err := client.NewLazyClient(client.Options{
		HostPort:  s.HostPort,
		Namespace: o.Namespace,
		// The attempts before the frontend is up are expected to fail.
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("connect to the Temporal server: %w", err)
	}
	defer c.Close()
	err = retry(ctx, "wait for namespace "+o.Namespace, func(ctx context.Context) error {
		_, err := c.WorkflowService().DescribeNamespace(ctx,
			&workflowservice.DescribeNamespaceRequest{Namespace: o.Namespace})
		return err
	})
	if err != nil {
		return err
	}
	return retry(ctx, "register search attributes", func(ctx context.Context) error {
		return addSearchAttributes(ctx, c, o)
	})
}

func addSearchAttributes(ctx context.Context, c client.Client, o Options) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: o.Namespace})
	if err != nil {
		return err
	}
	missing := map[string]enums.IndexedValueType{}
	for name, kind := range o.SearchAttributes {
		if _, ok := known.GetCustomAttributes()[name]; !ok {
			missing[name] = kind
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: o.Namespace, SearchAttributes: missing,
	})
	return err
}
