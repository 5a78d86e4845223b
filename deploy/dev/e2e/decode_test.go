package e2e

import (
	"encoding/json"
	"fmt"

	"spotkeeper/internal/domain/clients"
)

// decode reads an answer of the api.
func decode(text string, out any) error {
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("read the answer %q: %w", text, err)
	}
	return nil
}

// newClient is a client that a test makes without the api.
func newClient(name string) clients.New { return clients.New{Name: name} }
