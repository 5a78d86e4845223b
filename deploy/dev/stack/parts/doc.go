// Package parts has what the development stack runs. It links a Temporal server
// and the whole product, which costs every test binary that does the same half a
// minute: tests start the compiled command instead.
package parts
