package temporal

import (
	"net/url"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"

	"spotkeeper/deploy/dev/embedded/loopback"
)

const (
	clusterName = "active"
	disabled    = "disabled"
)

// ports are where the services of one server listen. Only frontend is known
// outside the process.
type ports struct {
	frontend, frontendHTTP, history, matching, worker int
}

// sqliteConfig opens the file with a write-ahead log that is synced at its
// checkpoints, the setting under which acknowledged updates survived every
// kill -9 that was tried.
func sqliteConfig(file string) *config.SQL {
	return &config.SQL{
		PluginName: sqlite.PluginName,
		// The name becomes part of a URI: a space or a question mark in a
		// directory's name must not end it.
		DatabaseName: (&url.URL{Path: file}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode":         "rwc",
			"journal_mode": "wal",
			"synchronous":  "1",
			"busy_timeout": "10000",
		},
	}
}

func serverConfig(o Options, p ports) *config.Config {
	frontend := loopback.Addr(p.frontend)
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqlite.PluginName,
			VisibilityStore:  sqlite.PluginName,
			NumHistoryShards: historyShards,
			DataStores:       map[string]config.DataStore{sqlite.PluginName: {SQL: sqliteConfig(o.File)}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: frontend},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): service(p.frontend, p.frontendHTTP),
			string(primitives.HistoryService):  service(p.history, 0),
			string(primitives.MatchingService): service(p.matching, 0),
			string(primitives.WorkerService):   service(p.worker, 0),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: disabled},
			Visibility: config.VisibilityArchival{State: disabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: disabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: disabled},
		}},
		PublicClient: config.PublicClient{HostPort: frontend},
	}
}

func service(grpcPort, httpPort int) config.Service {
	return config.Service{RPC: config.RPC{GRPCPort: grpcPort, HTTPPort: httpPort, BindOnIP: loopback.Host}}
}

// hosts replaces the gossip between services: there is one of each, and its
// address is known.
func hosts(p ports) map[primitives.ServiceName]static.Hosts {
	one := func(port int) static.Hosts {
		return static.Hosts{All: []string{loopback.Addr(port)}, Self: loopback.Addr(port)}
	}
	return map[primitives.ServiceName]static.Hosts{
		primitives.FrontendService: one(p.frontend),
		primitives.HistoryService:  one(p.history),
		primitives.MatchingService: one(p.matching),
		primitives.WorkerService:   one(p.worker),
	}
}
