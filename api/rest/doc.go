// Package rest puts the HTTP API together. The whole surface is the table that
// Deps.Routes returns; api/agents, api/control and api/pages add the rows of their
// resources. The package itself serves the login, health, metrics and the OpenAPI
// document.
package rest
