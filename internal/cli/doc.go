// Package cli is the command spotkeeper. It knows the API alone: package client is
// generated from api/openapi.json, and no other package of the product is imported.
package cli
