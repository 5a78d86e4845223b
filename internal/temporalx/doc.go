// Package temporalx is what the program adds to the Temporal SDK: faults that
// keep their code across the boundary, the client's construction from the
// standard TEMPORAL_* settings, schedules that follow the code, and metrics in
// Prometheus. It depends on no workflow.
package temporalx
