package temporalx

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/interceptor"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
)

// Options complete what the TEMPORAL_* settings say.
type Options struct {
	Address   string                // overrides TEMPORAL_ADDRESS; for tests and the embedded stack
	Namespace string                // overrides TEMPORAL_NAMESPACE
	Logger    *slog.Logger          // nil: the default one
	Metrics   client.MetricsHandler // nil: none
	Env       envconfig.EnvLookup   // nil: the process's environment
	Dial      []grpc.DialOption     // beside the SDK's own; an interceptor here sees each attempt

	Interceptor interceptor.ClientInterceptor // of the client, and of its workers when it is one of theirs too; nil: none

	Attributes *Attributes // what to leave out where the namespace lacks it; nil: nothing

	APIKeyFile string // in place of TEMPORAL_API_KEY; read again when it changes
	Codec      *Codec // of payloads; nil: none
}

// Connect returns a client from the standard TEMPORAL_* settings (address,
// namespace, API key, mTLS, profile), which are the one switch between the
// embedded server, a cluster and Temporal Cloud. It connects at the first call,
// so a process starts, and recovers, while Temporal is away.
func Connect(o Options) (client.Client, error) {
	opts, err := load(o)
	if err != nil {
		return nil, err
	}
	if o.Address != "" {
		opts.HostPort = o.Address
	}
	if o.Namespace != "" {
		opts.Namespace = o.Namespace
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	opts.Logger = sdklog.NewStructuredLogger(logger.With("component", "temporal"))
	opts.MetricsHandler = o.Metrics
	if o.Interceptor != nil {
		opts.Interceptors = append(opts.Interceptors, o.Interceptor)
	}
	if o.Codec != nil {
		opts.DataConverter, opts.FailureConverter = o.Codec.Converter(), o.Codec.failures()
	}
	if o.Attributes != nil {
		opts.ConnectionOptions.DialOptions = append(opts.ConnectionOptions.DialOptions,
			grpc.WithChainUnaryInterceptor(o.Attributes.intercept))
	}
	opts.ConnectionOptions.DialOptions = append(opts.ConnectionOptions.DialOptions, o.Dial...)
	opts.ConnectionOptions.GetSystemInfoTimeout = 2 * time.Second
	c, err := client.NewLazyClient(opts)
	if err == nil && o.Attributes != nil {
		o.Attributes.service, o.Attributes.namespace = c.WorkflowService(), cmp.Or(opts.Namespace,
			client.DefaultNamespace)
	}
	return c, err
}

// ServerAddress is the address of the server that Connect would use with the same options, and
// whether the way to it is encrypted.
func ServerAddress(o Options) (address string, encrypted bool, err error) {
	opts, err := load(o)
	if err != nil {
		return "", false, err
	}
	// The SDK encrypts when there is an API key, unless its settings say otherwise.
	encrypted = opts.ConnectionOptions.TLS != nil || opts.Credentials != nil && !opts.ConnectionOptions.TLSDisabled
	return cmp.Or(o.Address, opts.HostPort, client.DefaultHostPort), encrypted, nil
}

// Namespace is the namespace that Connect would use with the same options.
func Namespace(o Options) (string, error) {
	opts, err := load(o)
	if err != nil {
		return "", err
	}
	return cmp.Or(o.Namespace, opts.Namespace, client.DefaultNamespace), nil
}

// EnsureAttributes registers the keyword search attributes that the namespace
// lacks. Where the operator API is closed to us, as in Temporal Cloud, they must
// have been made beforehand.
func EnsureAttributes(ctx context.Context, c client.Client, namespace string, names ...string) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx,
		&operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return err
	}
	missing := map[string]enums.IndexedValueType{}
	for _, name := range names {
		if _, there := known.GetCustomAttributes()[name]; !there {
			missing[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace:        namespace,
		SearchAttributes: missing,
	})
	if _, there := errors.AsType[*serviceerror.AlreadyExists](err); there {
		return nil
	}
	return err
}
