// Package cli is the command spotkeeper. It uses the API alone: package client is
// generated from api/openapi.json, and no other package of the product is imported.
package cli
