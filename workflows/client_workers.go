package workflows

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"spotkeeper/internal/temporalx"
)

// Worker is a process that asked Temporal for work within the last minutes.
type Worker struct {
	Identity   string
	Queue      string
	LastSeen   time.Time
	Deployment string // empty: it is not versioned
	BuildID    string // likewise
}

// WorkerVersion is a version of the workers of a deployment.
type WorkerVersion struct {
	Deployment string
	temporalx.Version
}

// Workers asks the server which workers there are on the product's queues, and, where they are
// versioned, which of their versions has the new workflows.
func (c *Client) Workers(ctx context.Context) ([]Worker, []WorkerVersion, error) {
	ctx, done := c.withHealthDeadline(ctx, queryWithin)
	defer done()
	found := []Worker{}
	for _, queue := range []string{c.Queue, JobsQueue(c.Queue)} {
		got, err := c.Temporal.DescribeTaskQueue(ctx, queue, enums.TASK_QUEUE_TYPE_WORKFLOW)
		if err != nil {
			return nil, nil, translateError(ctx, err)
		}
		for _, p := range got.GetPollers() {
			found = append(found, Worker{
				Identity:   p.GetIdentity(),
				Queue:      queue,
				LastSeen:   p.GetLastAccessTime().AsTime(),
				Deployment: p.GetDeploymentOptions().GetDeploymentName(),
				BuildID:    p.GetDeploymentOptions().GetBuildId(),
			})
		}
	}
	slices.SortFunc(found, func(a, b Worker) int {
		return cmp.Or(cmp.Compare(a.Queue, b.Queue), cmp.Compare(a.Identity, b.Identity))
	})
	versions, err := workerVersions(ctx, c.Temporal, found)
	return found, versions, translateError(ctx, err)
}

func workerVersions(ctx context.Context, temporal client.Client, workers []Worker) ([]WorkerVersion, error) {
	names := []string{}
	for _, w := range workers {
		if w.Deployment != "" && !slices.Contains(names, w.Deployment) {
			names = append(names, w.Deployment)
		}
	}
	slices.Sort(names)
	out := []WorkerVersion{}
	for _, name := range names {
		versions, err := (&temporalx.Deployment{Client: temporal, Name: name}).Versions(ctx)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			out = append(out, WorkerVersion{Deployment: name, Version: v})
		}
	}
	return out, nil
}
