// Package settings reads what the agent is configured with: a YAML file, and variables
// of the environment that go before it.
package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
)

// DefaultFile is where the packages put the configuration.
const DefaultFile = "/etc/spotkeeper/agent.yaml"

// Settings are the agent's. Every key is also a variable SPOTKEEPER_AGENT_<KEY>, with an
// underscore between the levels, such as SPOTKEEPER_AGENT_IMDS_POLL.
type Settings struct {
	API       string        `yaml:"api"        env:"API"`      // base address of the control plane
	AgentID   string        `yaml:"agent_id"   env:"AGENT_ID"` // logical id; tag:KEY reads an instance tag
	Join      Join          `yaml:"join"       envPrefix:"JOIN_"`
	IMDS      IMDS          `yaml:"imds"       envPrefix:"IMDS_"`
	Hooks     Hooks         `yaml:"hooks"      envPrefix:"HOOKS_"`
	Ready     Ready         `yaml:"ready"      envPrefix:"READY_"`
	Heartbeat time.Duration `yaml:"heartbeat"  env:"HEARTBEAT"` // between two signs of life
	StateDir  string        `yaml:"state_dir"  env:"STATE_DIR"`
	Socket    string        `yaml:"socket"     env:"SOCKET"` // of the agent's own commands
	LogLevel  string        `yaml:"log_level"  env:"LOG_LEVEL"`
	CAFile    string        `yaml:"ca_file"    env:"CA_FILE"` // certificates that the api's is checked with
}

// Join says how the agent proves who it is.
type Join struct {
	Method    Method `yaml:"method"     env:"METHOD"`
	TokenFile string `yaml:"token_file" env:"TOKEN_FILE"`
	Token     Secret `yaml:"token"      env:"TOKEN"`
	ClientID  string `yaml:"client_id"  env:"CLIENT_ID"` // where several clients share the AWS account
}

// Method is a way to join.
type Method string

// The ways to join. Without a method it is by the token, when there is one, of its kind;
// else by the role.
const (
	ByRole      Method = "aws-iam"             // a request to STS, signed by the role of the instance
	ByDocument  Method = "aws-iid"             // the identity document of the instance
	ClientToken Method = "legacy-client-token" // the client's token, as the Python agents have it
	OneTime     Method = "token"               // a one-time enrolment token
)

var methods = []Method{ByRole, ByDocument, OneTime, ClientToken}

// GivesToken says whether the agent gets a token of its own by joining.
func (m Method) GivesToken() bool { return m != ClientToken }

// NeedsToken says whether the agent is given a token to begin with.
func (m Method) NeedsToken() bool { return m == ClientToken || m == OneTime }

// enrolmentPrefix begins the control plane's one-time tokens.
const enrolmentPrefix = "spk-enrol-"

// MethodOf is the way to join with a token, or without one.
func MethodOf(token string) Method {
	switch {
	case token == "":
		return ByRole
	case strings.HasPrefix(token, enrolmentPrefix):
		return OneTime
	}
	return ClientToken
}

// IMDS says how the metadata service is read.
type IMDS struct {
	Endpoint string        `yaml:"endpoint" env:"ENDPOINT"`
	Poll     time.Duration `yaml:"poll"     env:"POLL"`
	Timeout  time.Duration `yaml:"timeout"  env:"TIMEOUT"`
}

// Hooks say where the operator's programs are and how long they may take together.
type Hooks struct {
	Dir    string        `yaml:"dir"    env:"DIR"`
	Budget time.Duration `yaml:"budget" env:"BUDGET"`
}

// Ready says when the workload counts as ready. Without an address it always does.
type Ready struct {
	HTTP      string        `yaml:"http"      env:"HTTP"`
	Successes int           `yaml:"successes" env:"SUCCESSES"` // in a row
	Every     time.Duration `yaml:"every"     env:"EVERY"`
	Manual    bool          `yaml:"manual"    env:"MANUAL"` // ready when the command says so
}

// Secret is text that does not show itself.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// MarshalYAML hides the secret.
func (s Secret) MarshalYAML() ([]byte, error) { return []byte(s.String()), nil }

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// Default is the settings that apply where the file sets none.
func Default() Settings {
	return Settings{
		Join:      Join{TokenFile: "/etc/spotkeeper/token"}, //nolint:gosec // a path
		IMDS:      IMDS{Poll: 5 * time.Second, Timeout: 2 * time.Second},
		Hooks:     Hooks{Dir: "/etc/spotkeeper/hooks.d", Budget: 90 * time.Second},
		Ready:     Ready{Successes: 3, Every: 2 * time.Second},
		Heartbeat: 30 * time.Second,
		StateDir:  "/var/lib/spotkeeper",
		Socket:    "/run/spotkeeper/agent.sock",
		LogLevel:  "info",
	}
}

// Load reads the file, which may be missing, and the environment, or the variables given
// instead of it. Unknown keys are errors, and all errors are reported together.
func Load(file string, environment map[string]string) (Settings, error) {
	s := Default()
	content, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if len(strings.TrimSpace(string(content))) > 0 {
		if err := yaml.UnmarshalWithOptions(content, &s, yaml.Strict()); err != nil {
			return s, fmt.Errorf("%s: %w", file, err)
		}
	}
	o := env.Options{Prefix: "SPOTKEEPER_AGENT_", Environment: environment}
	if err := env.ParseWithOptions(&s, o); err != nil {
		return s, err
	}
	if s.Join.Method == "" {
		token, err := s.Credential()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		s.Join.Method = MethodOf(token)
	}
	return s, s.Validate()
}

// Validate says everything that is wrong.
func (s Settings) Validate() error {
	var wrong []error
	wrong = append(wrong, s.validateAPI())
	if s.AgentID == "" {
		wrong = append(wrong,
			errors.New("agent_id is missing: a name of this workload, or tag:KEY for the value of an instance tag"))
	}
	if !slices.Contains(methods, s.Join.Method) {
		wrong = append(wrong, fmt.Errorf("join.method must be one of %v, not %q", methods, s.Join.Method))
	}
	if s.IMDS.Poll < 10*time.Millisecond || s.IMDS.Poll > 30*time.Second {
		wrong = append(wrong, fmt.Errorf("imds.poll must be at most 30s, not %s", s.IMDS.Poll))
	}
	if s.Hooks.Budget < 0 || s.Hooks.Budget > 115*time.Second {
		wrong = append(wrong, fmt.Errorf("hooks.budget is 115s at most, because a notice leaves two minutes; it is %s",
			s.Hooks.Budget))
	}
	if s.Heartbeat <= 0 || s.Ready.Every <= 0 || s.Ready.Successes < 1 {
		wrong = append(wrong, errors.New("heartbeat, ready.every and ready.successes must be above zero"))
	}
	if !filepath.IsAbs(s.StateDir) || !filepath.IsAbs(s.Socket) {
		wrong = append(wrong, errors.New("state_dir and socket must be absolute paths"))
	}
	return errors.Join(wrong...)
}

func (s Settings) validateAPI() error {
	u, err := url.Parse(s.API)
	switch {
	case s.API == "":
		return errors.New("api is missing: the address of the control plane, such as https://spotkeeper.example.com")
	case !strings.Contains(s.API, "://"):
		return fmt.Errorf("api must begin with https:// (or http://): https://%s", s.API)
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("api must be the address of the control plane, such as https://spotkeeper.example.com, not %q",
			s.API)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("api must be the address alone, without a user, a query or a fragment")
	}
	return nil
}

// Credential is the token of the join section: the one written there, else that of the
// token's file.
func (s Settings) Credential() (string, error) {
	if s.Join.Token != "" {
		return s.Join.Token.Reveal(), nil
	}
	content, err := os.ReadFile(s.Join.TokenFile)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", fmt.Errorf("%s is empty", s.Join.TokenFile)
	}
	return token, nil
}
