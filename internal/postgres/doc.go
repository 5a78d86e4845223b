// Package postgres keeps what must outlive a process. One file per domain holds
// its statements; each exported method is one statement or one transaction and
// says why it may run twice. Nothing here judges: rules live in the domains and,
// where SQL can say them, in named constraints.
package postgres
