// Package web is the kit of the HTTP API: what a route is made of. It binds and checks
// requests, authenticates callers, answers errors, records audit entries, pages lists
// and writes the OpenAPI document. Handlers are plain functions of one struct in and
// one struct out: they never see HTTP, and only errors.go turns an error into an
// answer. The kit depends on no resource.
package web
