package temporal

import (
	"errors"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
)

// Options say where the server keeps its state and where it listens. The zero
// value of every field but File has a default.
type Options struct {
	// File is the SQLite database. Its directory must exist; the file is made,
	// with its schema, when it is not there.
	File string
	// Port is the frontend's gRPC port; 0 picks a free port.
	Port int
	// UIPort is where the Web UI is served; 0 picks a free port.
	UIPort int
	// NoUI leaves the Web UI out, for tests that do not look at it.
	NoUI bool
	// Namespace is registered at the first start. The default is "default".
	Namespace string
	// Retention is how long closed workflows stay readable. The default is
	// seven days: the server's own seed keeps them only one.
	Retention time.Duration
	// SearchAttributes are registered with the namespace, and added to one
	// that an older start has made without them. The default is the product's
	// three: ClientID, AgentID and Reason, all keywords.
	SearchAttributes map[string]enumspb.IndexedValueType
	// Logger receives what the server logs at warn level or above.
	Logger *slog.Logger
}

// historyShards cannot change during the life of a database file.
const historyShards = 4

func (o Options) withDefaults() (Options, error) {
	if o.File == "" {
		return o, errors.New("the Temporal server needs a database file")
	}
	if o.Namespace == "" {
		o.Namespace = "default"
	}
	if o.Retention == 0 {
		o.Retention = 7 * 24 * time.Hour
	}
	if o.SearchAttributes == nil {
		o.SearchAttributes = map[string]enumspb.IndexedValueType{
			"ClientID":  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			"AgentID":   enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			"AgentName": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
			"Reason":    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o, nil
}
