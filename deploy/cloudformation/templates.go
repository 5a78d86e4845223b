// Package cloudformation carries the templates that tenants are given.
package cloudformation

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

//go:embed tenant-role.json
var tenantRole []byte

// TenantRole returns the template of a client's role with the client's own parameters as
// defaults, so that nothing has to be copied by hand.
func TenantRole(controlAccount, externalID, clientID string) (json.RawMessage, error) {
	var template map[string]any
	if err := json.Unmarshal(tenantRole, &template); err != nil {
		return nil, fmt.Errorf("tenant-role.json: %w", err)
	}
	parameters, _ := template["Parameters"].(map[string]any)
	for name, value := range map[string]string{
		"ControlPlaneAccount": controlAccount, "ExternalId": externalID, "ClientId": clientID,
	} {
		parameter, ok := parameters[name].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("tenant-role.json has no parameter %s", name)
		}
		parameter["Default"] = value
	}
	return json.Marshal(template)
}
