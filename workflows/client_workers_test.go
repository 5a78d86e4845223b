package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/deployment/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/types/known/timestamppb"

	"spotkeeper/workflows"
)

// polled is a server whose queues are polled by workers of a deployment.
type polled struct {
	server
	at time.Time
}

func (p *polled) DescribeTaskQueue(
	_ context.Context,
	queue string,
	kind enums.TaskQueueType,
) (*workflowservice.DescribeTaskQueueResponse, error) {
	out := &workflowservice.DescribeTaskQueueResponse{}
	if queue == "control" && kind == enums.TASK_QUEUE_TYPE_WORKFLOW {
		out.Pollers = []*taskqueue.PollerInfo{
			{
				Identity:          "2@b",
				LastAccessTime:    timestamppb.New(p.at),
				DeploymentOptions: &deployment.WorkerDeploymentOptions{DeploymentName: "spotkeeper", BuildId: "two"},
			},
			{Identity: "1@a", LastAccessTime: timestamppb.New(p.at)},
		}
	}
	return out, nil
}

func (*polled) WorkerDeploymentClient() client.WorkerDeploymentClient { return deployments{} }

type deployments struct{ client.WorkerDeploymentClient }

func (deployments) GetHandle(string) client.WorkerDeploymentHandle { return deploymentHandle{} }

type deploymentHandle struct{ client.WorkerDeploymentHandle }

func (deploymentHandle) Describe(
	context.Context,
	client.WorkerDeploymentDescribeOptions,
) (client.WorkerDeploymentDescribeResponse, error) {
	one, two := worker.WorkerDeploymentVersion{BuildID: "one"}, worker.WorkerDeploymentVersion{BuildID: "two"}
	return client.WorkerDeploymentDescribeResponse{Info: client.WorkerDeploymentInfo{
		RoutingConfig:    client.WorkerDeploymentRoutingConfig{CurrentVersion: &one, RampingVersion: &two, RampingVersionPercentage: 10},
		VersionSummaries: []client.WorkerDeploymentVersionSummary{{Version: one}, {Version: two}},
	}}, nil
}

// TestWorkersAreThoseThatPoll, with the share of each version of theirs.
func TestWorkersAreThoseThatPoll(t *testing.T) {
	t.Parallel()

	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &workflows.Client{Temporal: &polled{at: at}, Queue: "control"}
	found, versions, err := c.Workers(t.Context())
	require.NoError(t, err)
	require.Equal(t, []workflows.Worker{
		{Identity: "1@a", Queue: "control", LastSeen: at},
		{Identity: "2@b", Queue: "control", LastSeen: at, Deployment: "spotkeeper", BuildID: "two"},
	}, found)
	require.Len(t, versions, 2)
	require.True(t, versions[0].Current)
	require.InDelta(t, 10, versions[1].Ramp, 0)
}
