package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// refusalsVersion marks the Replicas that stay with a candidate while EC2 throttles, and
// that judge a refusal by what another candidate does.
const refusalsVersion = "judge-refusals"

// throttledFor is how long a candidate is asked for in an emergency while EC2 throttles. It
// leaves time for another one.
const throttledFor = time.Minute

// launchPatiently launches in one pool, and stays with it while EC2 throttles. Throttling is
// about the account and the region, so another pool would be no help.
func (r *replicaRun) launchPatiently(ctx workflow.Context, c replica.Candidate) (next bool, err error) {
	until := workflow.Now(ctx).Add(throttledFor)
	for {
		next, err = r.launchIn(ctx, c)
		if !next || !fault.Is(err, replica.Throttled) || !workflow.Now(ctx).Before(until) || !r.judgesRefusals(ctx) {
			return next, err
		}
		if err := r.refresh(ctx); err != nil || r.isOver() {
			return false, err
		}
	}
}

func (r *replicaRun) judgesRefusals(ctx workflow.Context) bool {
	return workflow.GetVersion(ctx, refusalsVersion, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}
