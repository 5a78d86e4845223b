package web

import (
	"net/url"
	"strings"
)

// AgentPath names an agent.
type AgentPath struct {
	AgentID string `json:"-" uri:"agent_id"`
}

// ClientPath names a client.
type ClientPath struct {
	ClientID string `json:"-" uri:"client_id"`
}

// InstancePath names an instance.
type InstancePath struct {
	InstanceID string `json:"-" uri:"instance_id"`
}

// OperationPath names an operation, whose id contains slashes.
type OperationPath struct {
	OperationID string `json:"-" uri:"operation_id"`
}

// ID takes the id out of the rest of the path.
func (p OperationPath) ID() string {
	id := strings.Trim(p.OperationID, "/")
	if plain, err := url.PathUnescape(id); err == nil {
		id = plain
	}
	return id
}

// OperationHref is the address of an operation.
func OperationHref(id string) string { return "/api/operations/" + url.PathEscape(id) }

// ClientListRequest asks for a list of a client's.
type ClientListRequest struct {
	ClientPath
	PagedWhole
}
