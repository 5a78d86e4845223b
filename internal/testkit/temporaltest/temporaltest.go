// Package temporaltest sets up the SDK's test environment as the product's worker is set up.
package temporaltest

import (
	"time"

	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"spotkeeper/internal/temporalx"
)

// patience is how long a workflow task of a test may compute. The SDK's own second is too
// short on a machine that compiles and runs other tests at the same time.
const patience = 5 * time.Minute

// WorkerOptions are those of a test environment: faults cross activities as in the product,
// and the given interceptors follow.
func WorkerOptions(more ...interceptor.WorkerInterceptor) worker.Options {
	return worker.Options{
		Interceptors:             append([]interceptor.WorkerInterceptor{&temporalx.Faults{}}, more...),
		DeadlockDetectionTimeout: patience,
	}
}
