// Package bench measures the running product against the budgets of its design:
// api, worker, Temporal, Postgres and the EC2 simulator as processes of their
// own on this machine, driven over HTTP. `make bench` runs it; nothing here
// asserts a time, because another machine has another clock.
package bench
