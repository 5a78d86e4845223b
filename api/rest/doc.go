// Package rest serves the HTTP API. The whole surface is the table that
// Deps.Routes returns; each resource has one file with its endpoints and the
// rows they add to the table. Handlers are plain functions of one struct in and
// one struct out: they never see HTTP, and only errors.go turns an error into an
// answer.
package rest
