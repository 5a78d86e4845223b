// Package stack runs the parts of the development stack: it starts them in
// order, watches them, and stops them in reverse. A part that ends by itself
// takes the others down with its reason. The parts themselves are in the package
// below, so that a test that only needs a running stack's addresses does not link
// a Temporal server.
package stack
