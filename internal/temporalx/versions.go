package temporalx

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"spotkeeper/internal/domain/fault"
)

// What can be wrong with a version of workers.
var (
	NoVersion    = fault.Define("workflow.no_such_version", fault.NotFound)
	BadVersion   = fault.Define("workflow.invalid_version", fault.Invalid)
	NotVersioned = fault.Define("workflow.not_versioned", fault.Conflict)
)

// Deployment is the worker deployment of an installation: the versions of its workers, and
// which of them has the next workflow.
type Deployment struct {
	Client    client.Client
	Namespace string
	Name      string // empty: workers are not versioned
}

// Version is one version in a deployment.
type Version struct {
	BuildID string
	Created time.Time
	Current bool
	Ramp    float32 // percent of new workflows
	Drained bool    // no open workflow is pinned to it
}

// Options are those of a worker of a version.
func (d *Deployment) Options(buildID string) worker.DeploymentOptions {
	if d.Name == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version:       worker.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: buildID},
	}
}

// Claim makes a version the current one of a deployment that has none, which would leave
// every workflow without a worker. Fails until the server has seen the version's workers.
func (d *Deployment) Claim(ctx context.Context, buildID string) (claimed bool, err error) {
	found, err := d.handle().Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return false, err
	}
	if found.Info.RoutingConfig.CurrentVersion != nil {
		return false, nil
	}
	_, err = d.handle().SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{
		BuildID: buildID, ConflictToken: found.ConflictToken})
	return err == nil, err
}

// Versions lists the deployment's versions. Fails with workflow.not_versioned and
// workflow.no_such_version.
func (d *Deployment) Versions(ctx context.Context) ([]Version, error) {
	if d.Name == "" {
		return nil, NotVersioned.New("Workers are not versioned: set TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID.")
	}
	found, err := d.handle().Describe(ctx, client.WorkerDeploymentDescribeOptions{})
	if err != nil {
		return nil, d.translate(err, "")
	}
	routing := found.Info.RoutingConfig
	out := make([]Version, 0, len(found.Info.VersionSummaries))
	for _, v := range found.Info.VersionSummaries {
		one := Version{BuildID: v.Version.BuildID, Created: v.CreateTime,
			Drained: v.DrainageStatus == client.WorkerDeploymentVersionDrainageStatusDrained}
		one.Current = routing.CurrentVersion != nil && routing.CurrentVersion.BuildID == one.BuildID
		if routing.RampingVersion != nil && routing.RampingVersion.BuildID == one.BuildID {
			one.Ramp = routing.RampingVersionPercentage
		}
		out = append(out, one)
	}
	return out, nil
}

// SetCurrent gives a version every new workflow. Fails with workflow.no_such_version.
func (d *Deployment) SetCurrent(ctx context.Context, buildID string) error {
	_, err := d.handle().SetCurrentVersion(ctx, client.WorkerDeploymentSetCurrentVersionOptions{BuildID: buildID})
	return d.translate(err, buildID)
}

// Ramp gives a version a share in percent of the new workflows, and of the long ones that
// move between versions. Fails with workflow.no_such_version.
func (d *Deployment) Ramp(ctx context.Context, buildID string, percent float32) error {
	if percent < 0 || percent > 100 {
		return BadVersion.New("A ramp is a percentage from 0 to 100, not %v.", percent)
	}
	_, err := d.handle().SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{
		BuildID: buildID, Percentage: percent})
	return d.translate(err, buildID)
}

// Rollback ends a ramp: the current version has every new workflow. What is pinned to the
// other version ends there.
func (d *Deployment) Rollback(ctx context.Context) error {
	_, err := d.handle().SetRampingVersion(ctx, client.WorkerDeploymentSetRampingVersionOptions{})
	return d.translate(err, "")
}

// Leave has the open workflows that are pinned to a version go on at the current one, for
// a version whose workflows cannot end. Their histories must replay there: workflows
// that did more than fail may have to be terminated instead, and go on from their rows.
// Fails with workflow.no_such_version.
func (d *Deployment) Leave(ctx context.Context, buildID string) (moved int, err error) {
	versions, err := d.Versions(ctx)
	if err != nil {
		return 0, err
	}
	to := client.PinnedVersioningOverride{}
	for _, v := range versions {
		if v.Current {
			to.Version = worker.WorkerDeploymentVersion{DeploymentName: d.Name, BuildID: v.BuildID}
		}
	}
	if to.Version.BuildID == "" || to.Version.BuildID == buildID {
		return 0, BadVersion.New("Workflows can leave %s once another version is current.", buildID)
	}
	query := fmt.Sprintf("ExecutionStatus = 'Running' AND TemporalWorkerDeploymentVersion = '%s:%s'", d.Name, buildID)
	var token []byte
	for {
		page, err := d.Client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: d.Namespace, Query: query, NextPageToken: token})
		if err != nil {
			return moved, err
		}
		for _, one := range page.GetExecutions() {
			_, err := d.Client.UpdateWorkflowExecutionOptions(ctx, client.UpdateWorkflowExecutionOptionsRequest{
				WorkflowId: one.GetExecution().GetWorkflowId(),
				RunId:      one.GetExecution().GetRunId(),
				WorkflowExecutionOptionsChanges: client.WorkflowExecutionOptionsChanges{
					VersioningOverride: &client.VersioningOverrideChange{Value: &to}},
			})
			if _, ended := errors.AsType[*serviceerror.NotFound](err); err != nil && !ended {
				return moved, err
			}
			moved++
		}
		if token = page.GetNextPageToken(); len(token) == 0 {
			return moved, nil
		}
	}
}

func (d *Deployment) handle() client.WorkerDeploymentHandle {
	return d.Client.WorkerDeploymentClient().GetHandle(d.Name)
}

func (d *Deployment) translate(err error, buildID string) error {
	if _, absent := errors.AsType[*serviceerror.NotFound](err); absent {
		return NoVersion.Wrap(err, "No worker of version %s has polled yet in the deployment %s.", buildID, d.Name)
	}
	return err
}
