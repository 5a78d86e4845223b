package e2e

import (
	"encoding/json"
	"fmt"
)

// decode reads an answer of the api.
func decode(text string, out any) error {
	if err := json.Unmarshal([]byte(text), out); err != nil {
		return fmt.Errorf("read the answer %q: %w", text, err)
	}
	return nil
}
