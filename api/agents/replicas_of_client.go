package agents

import (
	"context"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type clientReplica struct {
	AgentID string        `json:"agentId"`
	Primary primaryBrief  `json:"primary"`
	Replica standingBrief `json:"replica"`
}

type primaryBrief struct {
	InstanceID   string `json:"instanceId"`
	InstanceType string `json:"instanceType"`
	Region       string `json:"region"`
	AZ           string `json:"az"`
	Mode         string `json:"mode"`
}

type standingBrief struct {
	replicaBody
	InstanceID string `json:"instanceId"`
}

func (r *Replicas) listOfClient(ctx context.Context, in *web.ClientListRequest) (*[]clientReplica, error) {
	found, err := r.Views.ClientReplicas(ctx, in.ClientID, in.Page())
	found, err = web.FinishPage(&in.Paging, found, err, placeOfReplica)
	return web.MapRows(found, err, func(x views.ReplicaView) clientReplica {
		return clientReplica{
			AgentID: x.AgentID,
			Primary: primaryBrief{
				InstanceID:   x.PrimaryID,
				InstanceType: x.PrimaryType,
				Region:       x.PrimaryRegion,
				AZ:           x.PrimaryAZ,
				Mode:         x.PrimaryMode,
			},
			Replica: standingBrief{replicaBody: newReplicaBody(x), InstanceID: instanceOf(x)},
		}
	})
}
