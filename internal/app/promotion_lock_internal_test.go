package app

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/postgres"
)

// TestAPromotionHasTheLocksOfATermination: the row of the instance has to be proven, and
// EC2, asked immediately before, has to show our tags and the client's.
func TestAPromotionHasTheLocksOfATermination(t *testing.T) {
	t.Parallel()

	f := newField(t, ec2sim.Options{})
	m, beside := f.join("web", f.machine()), f.machine()
	id := *beside.InstanceId
	opened, err := (&postgres.Roles{DB: f.DB}).OpenReplica(t.Context(), roles.ReplicaRequest{
		AgentID:    m.id,
		Kind:       replica.Manual,
		For:        m.at,
		InstanceID: id,
		Plan:       replica.Plan{Mode: agent.Spot, Pool: fieldType + ".us-east-1a"},
	})
	require.NoError(t, err)
	promote := func() (status int, code string) {
		var answer struct{ Code string }
		status = f.ask("POST", "/api/agents/"+m.id+"/replicas/"+opened.Replica.ID+"/promote", map[string]any{}, &answer)
		return status, answer.Code
	}
	set, err := (&postgres.Roles{DB: f.DB}).Roles(t.Context(), m.id)
	require.NoError(t, err)
	_, err = set.CanPromote(opened.Replica.ID, true)
	require.ErrorContains(t, err, "is not proven to be the client's", "the first lock: the row, judged by the Guardian")

	f.adopt(id)
	set, err = (&postgres.Roles{DB: f.DB}).Roles(t.Context(), m.id)
	require.NoError(t, err)
	_, err = set.CanPromote(opened.Replica.ID, true)
	require.NoError(t, err)
	_, code := promote()
	require.NotContains(t, code, "instance.", "it goes on to the Guardian, which is away here: %s", f.log.String())

	f.fault(simclient.Fault{Action: "DescribeInstances", Code: "UnauthorizedOperation", Times: 2}) // it is asked again with a new session
	status, code := promote()
	require.GreaterOrEqual(t, status, 400)
	require.Equal(t, "launch.refused", code, "a lock that cannot be looked at is closed")

	_, err = f.ec2.DeleteTags(t.Context(), &ec2.DeleteTagsInput{
		Resources: []string{id},
		Tags:      []types.Tag{{Key: aws.String("spotkeeper:client")}},
	})
	require.NoError(t, err)
	status, code = promote()
	require.Equal(t, http.StatusForbidden, status, f.log.String())
	require.Equal(t, "instance.not_ours", code, "the second lock: the tags")
}
