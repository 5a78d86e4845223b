// Package stack runs the parts of the development stack: it starts them in
// order, watches them, and stops them in reverse. A part that ends by itself
// takes the others down with its reason.
package stack
