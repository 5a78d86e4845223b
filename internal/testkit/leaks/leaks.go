// Package leaks looks for goroutines that outlive the tests of workflows and of servers.
package leaks

import "go.uber.org/goleak"

// VerifyTestMain runs the tests of a package and fails when a goroutine is left. Those of
// an activity that waits for its next try when its workflow ends belong to the SDK's test
// environment, which has no end of its own.
func VerifyTestMain(m goleak.TestingM) {
	const env = "go.temporal.io/sdk/internal.(*testWorkflowEnvironmentImpl)."
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(env+"executeActivityWithRetryForTest"),
		goleak.IgnoreAnyFunction(env+"ExecuteActivity.func2"))
}

// Lingering leaves out the half second for which net/http keeps a connection that it has
// closed with part of a request unread (rstAvoidanceDelay), which goleak does not wait for.
func Lingering() goleak.Option {
	return goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait")
}
