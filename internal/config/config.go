// Package config reads the environment once and reports everything that is wrong
// with it together. Nothing else in the program calls os.Getenv: each component
// is handed the part it needs.
package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"spotkeeper/internal/sealing"
)

// Config is the deployment: addresses, credentials and limits. Policy, such as
// cool-downs and thresholds, is rows per client and agent instead.
type Config struct {
	Database  Database
	API       API
	OIDC      OIDC
	Transport Transport
	Worker    Worker
	AWS       AWS
	Temporal  Temporal
	Secrets   Secrets
	Webhooks  Webhooks
	Log       Log
	Engine    Engine
	Artifacts Artifacts
	Events    Events
	Tracing   Tracing
}

// Database says where Postgres is.
type Database struct {
	URL      Secret `env:"DATABASE_URL,required,notEmpty" doc:"Postgres, as postgres://user:password@host:port/name; several host:port with commas between them are tried in turn, and a server that only reads is not taken unless target_session_attrs says so"`
	MaxConns int32  `env:"DATABASE_MAX_CONNS" envDefault:"16" doc:"connections per process"`
	Pooler   string `env:"DATABASE_POOLER" doc:"transaction: DATABASE_URL leads to PgBouncer or another pooler that gives a connection to one transaction at a time; empty: to Postgres itself, or to a pooler of sessions"`

	StatementTimeout time.Duration `env:"DATABASE_STATEMENT_TIMEOUT" envDefault:"5m" doc:"longest statement, by the server's own clock; 0s: none. With DATABASE_POOLER=transaction the database role sets it"`
}

// API is the HTTP surface.
type API struct {
	Listen         string        `env:"API_LISTEN" envDefault:"127.0.0.1:5000" doc:"address to listen on"`
	TLSCert        string        `env:"API_TLS_CERT" doc:"file with the certificate of the api and its chain in PEM; with it the api speaks HTTPS (TLS 1.2 or later, HTTP/2) and nothing else on API_LISTEN; it is read anew when it changes"`
	TLSKey         string        `env:"API_TLS_KEY" doc:"file with the key of API_TLS_CERT in PEM"`
	MetricsListen  string        `env:"API_METRICS_LISTEN" envDefault:"127.0.0.1:9092" doc:"address of the api's /metrics, /ready with its reasons, and profiles; empty: none"`
	MaxConns       int           `env:"API_MAX_CONNECTIONS" envDefault:"8192" doc:"open connections; at more of them the slowest makes room"`
	AdminTokens    Secret        `env:"ADMIN_TOKEN" doc:"operators: one token, or name=token or name:role=token separated by commas, the role being viewer, operator or admin (the default); without it and OIDC_ISSUER the api listens on loopback only"`
	PublicURL      string        `env:"PUBLIC_URL" doc:"https address of the api as browsers reach it; webhooks that ask for an approval then have a link to answer by; for the worker too"`
	CORSOrigins    []string      `env:"CORS_ORIGINS" doc:"origins that browsers may call from, separated by commas, as https://console.example.com"`
	Hosts          []string      `env:"API_HOSTS" doc:"host names that requests may be for, separated by commas, besides localhost, 127.0.0.1 and [::1]; empty: on loopback those three only, elsewhere any; agents join by aws-iam under these names only"`
	TrustedProxies []string      `env:"TRUSTED_PROXIES" doc:"networks whose X-Forwarded-For counts"`
	WebDir         string        `env:"WEB_DIR" doc:"directory with a built page, served at /"`
	Launcher       string        `env:"DEFAULT_LAUNCHER" envDefault:"control-plane" doc:"who launches for the agents of new clients that do not say: control-plane, or agent as with the legacy backend"`
	NoticeWait     time.Duration `env:"NOTICE_WAIT" envDefault:"20s" doc:"how long a termination notice waits for its outcome"`
	Certificates   string        `env:"JOIN_CERTIFICATES" doc:"directory with files <region>.pem: RSA-2048 certificates of AWS for identity documents, besides those of the program"`
	RebalanceHold  time.Duration `env:"REBALANCE_HOLD" envDefault:"2h" doc:"how long a replica made on a rebalance recommendation waits for its notice"`
}

// Worker runs workflows and activities.
type Worker struct {
	MetricsListen string        `env:"WORKER_METRICS_LISTEN" envDefault:"127.0.0.1:9091" doc:"address of the worker's /metrics and /ready; empty: none"`
	AgentTimeout  time.Duration `env:"AGENT_HEARTBEAT_TIMEOUT" envDefault:"120s" doc:"silence after which an agent counts as offline"`
	BreakerMoves  int           `env:"MOVE_BREAKER" envDefault:"5" doc:"how many voluntary moves of a client that fail or meet no capacity within 30 minutes pause its moves for an hour, and four times as many of several clients those of all; 0: never"`
	Schedules     bool          `env:"WORKER_SCHEDULES" envDefault:"true" doc:"reconcile the schedules at start"`
	PriceBackfill time.Duration `env:"PRICE_BACKFILL" envDefault:"2160h" doc:"how far back spot prices of an instance type are read at first sight; EC2 knows 90 days"`

	Keep map[string]time.Duration `env:"RETENTION" doc:"how long tables are kept where the default does not fit, as price_submissions:720h,decisions:2160h; 0s keeps for ever"`
}

// AWS says how EC2 is reached. Credentials come from the SDK's own chain.
type AWS struct {
	Region          string `env:"AWS_REGION" envDefault:"us-east-1" doc:"region of the control plane's own calls"`
	EC2Endpoint     string `env:"AWS_ENDPOINT_URL_EC2" doc:"another EC2, such as a simulator"`
	STSEndpoint     string `env:"AWS_ENDPOINT_URL_STS" doc:"another STS"`
	QuotasEndpoint  string `env:"AWS_ENDPOINT_URL_SERVICE_QUOTAS" doc:"another Service Quotas"`
	GroupsEndpoint  string `env:"AWS_ENDPOINT_URL_AUTO_SCALING" doc:"another EC2 Auto Scaling"`
	PricingEndpoint string `env:"AWS_ENDPOINT_URL_PRICING" doc:"another Pricing API"`
	Simulated       bool   `env:"EC2_SIMULATED" envDefault:"false" doc:"use fixed credentials, for a simulator"`
}

// Temporal names what is ours; addresses and credentials are the standard
// TEMPORAL_* settings, read by the SDK.
type Temporal struct {
	Queue string `env:"TEMPORAL_TASK_QUEUE" envDefault:"control" doc:"task queue; jobs that run by the clock have one of their own, whose name ends with -jobs"`
	UI    string `env:"TEMPORAL_UI_URL" doc:"address of the Temporal UI, as browsers reach it; the console links to it"`

	APIKeyFile string `env:"TEMPORAL_API_KEY_FILE" doc:"file with an API key of Temporal Cloud, in place of TEMPORAL_API_KEY; it is read anew when it changes, as the files of TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH are"`
	Encrypt    bool   `env:"TEMPORAL_ENCRYPT_PAYLOADS" envDefault:"false" doc:"true: what workflows are given and answer, summaries and errors are encrypted before they reach Temporal, by the keys of SECRET_KEYS; all processes read both"`

	Deployment string `env:"TEMPORAL_DEPLOYMENT_NAME" doc:"name of the worker deployment: workers are versioned by TEMPORAL_WORKER_BUILD_ID; empty: they are not"`
	BuildID    string `env:"TEMPORAL_WORKER_BUILD_ID" doc:"version of this worker in its deployment; the same for all workers of a release"`
}

// Secrets holds the keys that encrypt client tokens, which must be readable later.
type Secrets struct {
	Key  Secret `env:"SECRET_KEY" doc:"32 bytes in base64 that seal client tokens and webhooks' secrets in the database; this or SECRET_KEYS is required unless the api is on loopback"`
	Keys Secret `env:"SECRET_KEYS" doc:"several keys as id=key,id=key: the first one seals, all of them and SECRET_KEY open; worker rekey seals again what the others sealed"`
}

// Webhooks say where notifications may go.
type Webhooks struct {
	Allowed []netip.Prefix `env:"WEBHOOK_NETWORKS" doc:"networks inside that webhooks may go to besides the public internet, as 10.1.0.0/16; for tests and development 127.0.0.0/8"`
}

// Log says how to log.
type Log struct {
	Level  slog.Level `env:"LOG_LEVEL" envDefault:"info" doc:"debug, info, warn or error"`
	Format string     `env:"LOG_FORMAT" envDefault:"json" doc:"json or text"`
}

// Engine configures decision engines.
type Engine struct {
	Python      string `env:"ENGINE_PYTHON" envDefault:"off" doc:"on: the worker runs uploaded Python in a sandbox, or not at all; unsafe: it runs Python and ONNX where there is no sandbox too"`
	PythonPath  string `env:"ENGINE_PYTHON_PATH" envDefault:"python3" doc:"the interpreter"`
	ONNXLibrary string `env:"ONNXRUNTIME_LIB" doc:"path of libonnxruntime; empty: ONNX models are off"`
}

// RunsPython says whether uploaded Python is run at all, and whether it is run where
// there is no sandbox.
func (e Engine) RunsPython() (runs, unsafe bool) {
	unsafe = e.Python == "unsafe"
	return unsafe || e.Python == "on", unsafe
}

// Artifacts say where uploaded models live.
type Artifacts struct {
	URL      string `env:"ARTIFACTS_URL" envDefault:"./artifacts" doc:"a directory that all processes share, or s3://bucket/prefix"`
	Endpoint string `env:"AWS_ENDPOINT_URL_S3" doc:"another S3"`
}

// Events say where AWS's own events about instances arrive.
type Events struct {
	Queues   []string `env:"EVENTS_QUEUE_URL" doc:"addresses of SQS queues that EventBridge delivers to, one for each region; empty: none"`
	ActOn    []string `env:"EVENTS_ACT_ON" envDefault:"notice,rebalance,state,health,asg" doc:"which events count: notice (interruptions), rebalance, state (an instance ends without a notice), health (scheduled maintenance), asg (an Auto Scaling group with a lifecycle hook ends an instance)"`
	Endpoint string   `env:"AWS_ENDPOINT_URL_SQS" doc:"another SQS"`

	Survey time.Duration `env:"EVENTS_SURVEY" envDefault:"1m" doc:"how often EC2 is asked about the instances of each account and region, for those of whom neither an agent nor an event tells; 0s: never"`

	MoveAhead time.Duration `env:"EVENTS_MOVE_AHEAD" envDefault:"24h" doc:"how long before maintenance or retirement that AWS has scheduled an agent is moved; limits of voluntary moves hold until an hour before; 0s: the client is notified only"`
}

// Tracing is whether spans are sent. The names are OpenTelemetry's own; its SDK reads
// what else there is, such as OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES.
type Tracing struct {
	Disabled       bool   `env:"OTEL_SDK_DISABLED" envDefault:"false" doc:"true: no traces, whatever else is set"`
	Exporter       string `env:"OTEL_TRACES_EXPORTER" doc:"otlp or none; empty: otlp when an endpoint is set"`
	Endpoint       string `env:"OTEL_EXPORTER_OTLP_ENDPOINT" doc:"receiver of traces, as http://collector:4318; empty: traces are off"`
	TracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" doc:"the same for traces alone, with its path"`
	Protocol       string `env:"OTEL_EXPORTER_OTLP_PROTOCOL" doc:"http/protobuf, or grpc; empty: http/protobuf"`
	TracesProtocol string `env:"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" doc:"the same for traces alone"`
	Sampler        string `env:"OTEL_TRACES_SAMPLER" doc:"a sampler of OpenTelemetry's; empty: all interruptions and moves, and 1 % of the rest"`
}

// Secret is text that does not show itself in logs.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal returns the secret. Call it where it is used, not where it is passed.
func (s Secret) Reveal() string { return string(s) }

// Load reads the environment, or the variables given instead of it.
func Load(environment map[string]string) (Config, error) {
	var c Config
	opts := env.Options{}
	if environment != nil {
		opts.Environment = environment
	}
	err := env.ParseWithOptions(&c, opts)
	return c, errors.Join(byVariable(err), c.validate())
}

func (c Config) validate() error {
	var problems []error
	if _, _, err := net.SplitHostPort(c.API.Listen); c.API.Listen != "" && err != nil {
		problems = append(problems, fmt.Errorf("API_LISTEN: %w", err))
	}
	if _, err := c.Secrets.SealingKeys(); err != nil {
		problems = append(problems, err)
	}
	if p := c.Database.Pooler; p != "" && p != "transaction" {
		problems = append(problems, fmt.Errorf("DATABASE_POOLER must be transaction or empty, not %q", p))
	}
	if l := c.API.Launcher; l != "" && l != "control-plane" && l != "agent" {
		problems = append(problems, fmt.Errorf("DEFAULT_LAUNCHER must be control-plane or agent, not %q", l))
	}
	if python := c.Engine.Python; !slices.Contains([]string{"on", "off", "unsafe", ""}, python) {
		problems = append(problems, fmt.Errorf("ENGINE_PYTHON must be on, off or unsafe, not %q", python))
	}
	if (c.Temporal.Deployment == "") != (c.Temporal.BuildID == "") {
		problems = append(problems, errors.New("TEMPORAL_DEPLOYMENT_NAME and TEMPORAL_WORKER_BUILD_ID are given together"))
	}
	if strings.ContainsAny(c.Temporal.Deployment, ".: ") {
		problems = append(problems, errors.New("TEMPORAL_DEPLOYMENT_NAME has no dot, colon or space"))
	}
	if c.Log.Format != "json" && c.Log.Format != "text" && c.Log.Format != "" {
		problems = append(problems, fmt.Errorf("LOG_FORMAT must be json or text, not %q", c.Log.Format))
	}
	for _, group := range c.Events.ActOn {
		if !slices.Contains([]string{"notice", "rebalance", "state", "health", "asg"}, group) {
			problems = append(problems,
				fmt.Errorf("EVENTS_ACT_ON takes notice, rebalance, state, health and asg, not %q", group))
		}
	}
	for _, queue := range c.Events.Queues {
		if u, err := url.Parse(queue); err != nil || u.Host == "" {
			problems = append(problems, fmt.Errorf("EVENTS_QUEUE_URL must be addresses of queues, not %q", queue))
		}
	}
	for _, origin := range c.API.CORSOrigins {
		if u, err := url.Parse(origin); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			problems = append(problems,
				fmt.Errorf("CORS_ORIGINS names origins as https://console.example.com, not %q", origin))
		}
	}
	if u, err := url.Parse(c.API.PublicURL); c.API.PublicURL != "" &&
		(err != nil || !isSafeAddress(c.API.PublicURL) || u.RawQuery != "" || u.Fragment != "") {
		problems = append(problems,
			fmt.Errorf("PUBLIC_URL must be the https address of the api, as https://spotkeeper.example.com, not %q",
				c.API.PublicURL))
	}
	if c.Worker.BreakerMoves < 0 || c.Worker.BreakerMoves > 1000 {
		problems = append(problems, fmt.Errorf("MOVE_BREAKER must be between 0 and 1000, not %d", c.Worker.BreakerMoves))
	}
	if _, err := c.API.Operators(); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, c.OIDC.problems()...)
	if (c.API.TLSCert == "") != (c.API.TLSKey == "") {
		problems = append(problems, errors.New("API_TLS_CERT and API_TLS_KEY are given together"))
	}
	problems = append(problems, c.Transport.problems()...)
	return errors.Join(problems...)
}

// developmentKey seals tokens when no key is configured, which only an api that
// listens on loopback accepts.
var developmentKey = []byte("spotkeeper development key 32 b!")

// AreGiven says whether any key is configured.
func (s Secrets) AreGiven() bool { return s.Key != "" || s.Keys != "" }

// SealingKeys returns the sealing keys, or the development key when there are none.
func (s Secrets) SealingKeys() (sealing.Keys, error) {
	var keys []sealing.Key
	for part := range strings.SplitSeq(s.Keys.Reveal(), ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		id, text, named := strings.Cut(part, "=")
		if !named || id == "" || strings.ContainsAny(id, "+/") {
			return sealing.Keys{}, errors.New("SECRET_KEYS names each key: id=key,id=key")
		}
		secret, err := decodeKey("SECRET_KEYS", text)
		if err != nil {
			return sealing.Keys{}, err
		}
		keys = append(keys, sealing.Key{ID: id, Secret: secret})
	}
	switch {
	case s.Key != "":
		secret, err := decodeKey("SECRET_KEY", s.Key.Reveal())
		if err != nil {
			return sealing.Keys{}, err
		}
		keys = append(keys, sealing.Key{Secret: secret})
	case len(keys) == 0:
		keys = append(keys, sealing.Key{Secret: developmentKey})
	}
	return sealing.NewKeys(keys...)
}

func decodeKey(variable, text string) ([]byte, error) {
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != sealing.KeySize {
		return nil, errors.New(variable + " must be 32 bytes in base64")
	}
	return key, nil
}

// Loopback says whether the api can be reached from this machine only.
func (a API) Loopback() bool { return IsLoopbackAddress(a.Listen) }

// IsLoopbackAddress says whether what listens on an address (host:port) can be reached from
// this machine only.
func IsLoopbackAddress(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	return err == nil && isLoopback(host)
}

// OwnHosts are the names by which agents know this control plane. An agent signs the name
// that it was configured with, so the names of loopback are ours only where we listen on it.
func (a API) OwnHosts() []string {
	if a.Loopback() {
		return a.KnownHosts()
	}
	return a.Hosts
}

// KnownHosts are the host names that requests may be for; nil: any. A page that has the
// name of another site resolve to this machine is not one of ours.
func (a API) KnownHosts() []string {
	if !a.Loopback() && len(a.Hosts) == 0 {
		return nil
	}
	return append([]string{"localhost", "127.0.0.1", "::1"}, a.Hosts...)
}
