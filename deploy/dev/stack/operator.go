package stack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"spotkeeper/internal/config"
)

// operatorFile keeps the operators' token of a stack over its restarts.
const operatorFile = "operator-token"

// honoured are the variables of the product that a stack takes from its environment; all
// others it sets itself.
var honoured = []string{"ADMIN_TOKEN", "ENGINE_PYTHON", "ENGINE_PYTHON_PATH", "ONNXRUNTIME_LIB"}

// Set adds a variable to what configures the product's processes.
func (o *Options) Set(name, value string) {
	if o.Environment == nil {
		o.Environment = map[string]string{}
	}
	o.Environment[name] = value
}

// TakeEnvironment adds what the environment says of the product to the options, and
// returns the names of the product's variables that are set and ignored.
func (o *Options) TakeEnvironment(environ []string) (ignored []string) {
	known := config.VariableNames()
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		switch {
		case value == "":
		case slices.Contains(honoured, name):
			o.Set(name, value)
		case slices.Contains(known, name) || strings.HasPrefix(name, "TEMPORAL_"):
			ignored = append(ignored, name)
		}
	}
	slices.Sort(ignored)
	return ignored
}

// ReadOperatorToken is ADMIN_TOKEN when that is given, and else a token that is made once
// and kept in the state directory.
func (o *Options) ReadOperatorToken() (string, error) {
	if given := o.Environment["ADMIN_TOKEN"]; given != "" {
		return given, nil
	}
	kept, err := os.ReadFile(o.File(operatorFile))
	if token := strings.TrimSpace(string(kept)); err == nil && token != "" {
		return token, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the operator's token: %w", err)
	}
	token := "operator-" + rand.Text()
	if err := os.WriteFile(o.File(operatorFile), []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the operator's token: %w", err)
	}
	return token, nil
}

// FirstOperator is the token alone of the first operator in ADMIN_TOKEN.
func (a *Addresses) FirstOperator() string {
	first, _, _ := strings.Cut(a.OperatorToken, ",")
	if _, token, named := strings.Cut(first, "="); named {
		return strings.TrimSpace(token)
	}
	return strings.TrimSpace(first)
}
