package agents

import (
	"strings"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/pg"
	"spotkeeper/internal/postgres/views"
)

// toLaunch is one element of status=launching. Its first three fields are flat
// because the deployed agent launches nothing without them.
type toLaunch struct {
	ID         string   `json:"id"`
	PoolID     string   `json:"pool_id"`
	AZ         string   `json:"az"`
	Status     string   `json:"status"`
	Type       string   `json:"type"`
	CreatedAt  web.Time `json:"created_at"`
	AgeSeconds int      `json:"age_seconds"`
}

// poolAnswer is a pool; all null while none is chosen.
type poolAnswer struct {
	ID           *string `json:"id"`
	Name         *string `json:"name"`
	InstanceType *string `json:"instance_type"`
	Region       *string `json:"region"`
	AZ           *string `json:"az"`
}

type costAnswer struct {
	Hourly *float64 `json:"hourly"`
	Total  float64  `json:"total"`
}

// replicaBody is what both lists of replicas say of one.
type replicaBody struct {
	ID           string     `json:"id"`
	Type         string     `json:"type"`
	Status       string     `json:"status"`
	SyncStatus   string     `json:"sync_status"`
	SyncLatency  *int       `json:"sync_latency_ms"`
	Progress     float64    `json:"state_transfer_progress"`
	Pool         poolAnswer `json:"pool"`
	Cost         costAnswer `json:"cost"`
	CreatedBy    string     `json:"created_by"`
	CreatedAt    web.Time   `json:"created_at"`
	ReadyAt      *web.Time  `json:"ready_at"`
	TerminatedAt *web.Time  `json:"terminated_at"`
	IsActive     bool       `json:"is_active"`
}

// agentReplica is an element of an agent's list.
type agentReplica struct {
	replicaBody
	InstanceID string            `json:"instance_id"`
	AgeSeconds int               `json:"age_seconds"`
	Tags       map[string]string `json:"tags"`
	Launcher   string            `json:"launcher"`
}

func newReplicaBody(x views.ReplicaView) replicaBody {
	return replicaBody{
		ID:           x.ID,
		Type:         x.Kind.WireType(),
		Status:       x.State.LegacyWord(),
		SyncStatus:   x.SyncStatus,
		SyncLatency:  x.SyncLatency,
		Progress:     x.SyncProgress,
		Pool:         newPoolAnswer(x.PoolID, x.InstanceType, x.Region, x.AZ),
		Cost:         costAnswer{Hourly: x.HourlyCost, Total: x.TotalCost},
		CreatedBy:    x.CreatedBy,
		CreatedAt:    web.TimeOf(x.CreatedAt),
		ReadyAt:      web.NewTime(x.ReadyAt),
		TerminatedAt: web.NewTime(x.EndedAt),
		IsActive:     x.Active,
	}
}

func replicaOf(x views.ReplicaView) agentReplica {
	tags := x.Tags
	if tags == nil {
		tags = map[string]string{}
	}
	return agentReplica{
		replicaBody: newReplicaBody(x),
		InstanceID:  instanceOf(x),
		AgeSeconds:  x.AgeSeconds,
		Tags:        tags,
		Launcher:    string(x.Launcher),
	}
}

// newPoolAnswer names a pool. A pool that is missing from the catalogue is named by its id.
func newPoolAnswer(id, instanceType, region, az *string) poolAnswer {
	out := poolAnswer{ID: id, InstanceType: instanceType, Region: region, AZ: az}
	if id == nil {
		return poolAnswer{}
	}
	if at := strings.LastIndexByte(*id, '.'); instanceType == nil && at > 0 {
		kind, zone := (*id)[:at], (*id)[at+1:]
		out.InstanceType, out.AZ = &kind, &zone
	}
	if out.InstanceType != nil && out.AZ != nil {
		name := web.PoolName(*out.InstanceType, *out.AZ)
		out.Name = &name
	}
	return out
}

// instanceOf names a replica's instance, or before there is one a placeholder
// that old programs take for a name: replica-<8 characters>.
func instanceOf(x views.ReplicaView) string {
	if x.InstanceID != nil {
		return *x.InstanceID
	}
	prefix := "replica-"
	if x.Kind.Emergency() {
		prefix = "emergency-"
	}
	id := strings.ReplaceAll(x.ID, "-", "")
	return prefix + id[:min(8, len(id))]
}

// placeOfReplica is where a replica stands in a list of them.
func placeOfReplica(r views.ReplicaView) pg.Cursor {
	return pg.Cursor{At: r.CreatedAt, ID: r.ID}
}
