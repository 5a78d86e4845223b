package fleet

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Tags of every instance that we launch, from its first moment. They find instances whose
// launch answer was lost. A caller who may tag can lie, so no instance is terminated for
// its tags alone: the database must confirm it.
const (
	TagManagedBy = "managed-by"
	TagClient    = "spotkeeper:client"
	TagAgent     = "spotkeeper:agent"
	TagOperation = "spotkeeper:operation"
	TagEpoch     = "spotkeeper:epoch"
	TagReplica   = "spotkeeper:replica"

	ManagedBy = "spotkeeper"
)

// Owner says for whom and by which decision something is launched.
type Owner struct {
	ClientID  string `json:"client_id"`
	AgentID   string `json:"agent_id"`
	ReplicaID string `json:"replica_id"`
	Operation string `json:"operation"`
	Epoch     int64  `json:"epoch"`
}

func (o Owner) tags() map[string]string {
	return map[string]string{
		TagManagedBy: ManagedBy, TagClient: o.ClientID, TagAgent: o.AgentID, TagReplica: o.ReplicaID,
		TagOperation: o.Operation, TagEpoch: strconv.FormatInt(o.Epoch, 10),
	}
}

// OwnerFromTags reads the tags back, false when the instance does not carry ours.
func OwnerFromTags(i Instance) (Owner, bool) {
	epoch, _ := strconv.ParseInt(i.Tags[TagEpoch], 10, 64)
	return Owner{
		ClientID: i.Tags[TagClient], AgentID: i.Tags[TagAgent], ReplicaID: i.Tags[TagReplica],
		Operation: i.Tags[TagOperation], Epoch: epoch,
	}, i.Tags[TagManagedBy] == ManagedBy
}

// maxTags is EC2's limit per resource; a primary with more passes on the first
// ones by name.
const maxTags = 50

// inheritedTags returns the primary's own tags that a new instance carries too: all
// but AWS's and ours.
func inheritedTags(tags map[string]string) map[string]string {
	out := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		reserved := strings.HasPrefix(k, "aws:") || isOwnTag(k)
		if !reserved && len(out) < maxTags-len(Owner{}.tags()) {
			out[k] = tags[k]
		}
	}
	return out
}

// isOwnTag says whether a tag is one that Spotkeeper sets.
func isOwnTag(name string) bool {
	return strings.HasPrefix(name, "spotkeeper:") || name == TagManagedBy
}

func (r LaunchRequest) hasClientTags() bool {
	for name := range r.Tags {
		if !isOwnTag(name) {
			return true
		}
	}
	return false
}

// toSDKTags lists tags in the order of their keys, so that a request is the same
// bytes each time.
func toSDKTags(tags map[string]string) []types.Tag {
	out := make([]types.Tag, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, types.Tag{Key: aws.String(k), Value: aws.String(tags[k])})
	}
	return out
}
