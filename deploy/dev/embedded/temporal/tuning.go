package temporal

import (
	"time"

	"go.temporal.io/server/common/dynamicconfig"
)

const (
	// queuePollRPS replaces the default of 20 polls per second and shard,
	// which makes every workflow task of a lightly loaded server wait about
	// 50 ms.
	queuePollRPS = 1000
	// requestRPS is far above what one machine can do, so that a storm of
	// notices meets the machine's limits and not a default meant for a host of
	// a cluster.
	requestRPS = 20000
)

// tuning is the server's dynamic configuration. What it does not name keeps
// the server's default, among others the limits on updates per workflow, so
// that code which would break them on a cluster breaks them here.
func tuning() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		dynamicconfig.TransferProcessorMaxPollRPS.Key():        queuePollRPS,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():           queuePollRPS,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key():      queuePollRPS,
		dynamicconfig.OutboundProcessorMaxPollRPS.Key():        queuePollRPS,
		dynamicconfig.FrontendRPS.Key():                        requestRPS,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key(): requestRPS,
		dynamicconfig.HistoryRPS.Key():                         requestRPS,
		dynamicconfig.MatchingRPS.Key():                        requestRPS,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():           requestRPS,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():          requestRPS,
		// One host polls and matches, so the default of four partitions would only
		// forward tasks and polls from one to another.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,
		// A search attribute added to a running server is usable at once.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,
		// Nothing here calls home.
		dynamicconfig.EnableServerVersionCheck.Key(): false,
		// A namespace is known soon after it was registered.
		dynamicconfig.NamespaceCacheRefreshInterval.Key(): time.Second,
	}
}
