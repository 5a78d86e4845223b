// Package fleet is the one place that talks to EC2: it launches, describes,
// tags and terminates instances and reads prices, for each client in the account
// that is theirs. It judges nothing about agents; it turns what EC2 says into
// the launch.* faults of package replica, so that a workflow reacts to a class of
// error and never to a text.
//
// Every method has a deadline of its own and names the account it acts in. What
// creates something is idempotent by a token the caller gives.
package fleet
