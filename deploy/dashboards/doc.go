// Package dashboards holds the rules and the board of Grafana that a deployment installs,
// and tests them with Prometheus's own parser and engine. It is a module of its own, so
// that Prometheus stays out of the product's requirements.
package dashboards
