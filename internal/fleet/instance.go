package fleet

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"spotkeeper/internal/domain/agent"
)

// States of an instance, in EC2's words. Absent is ours: EC2 does not know the
// id, which right after a launch means "not yet" and much later "no more".
const (
	StatePending      = "pending"
	StateRunning      = "running"
	StateShuttingDown = "shutting-down"
	StateTerminated   = "terminated"
	StateStopping     = "stopping"
	StateStopped      = "stopped"
	StateAbsent       = "absent"
)

// Instance is EC2's description of an instance.
type Instance struct {
	ID                 string            `json:"id"`
	OwnerID            string            `json:"owner_id,omitempty"` // the account it lives in; only where instances are described
	State              string            `json:"state"`
	StateReason        string            `json:"state_reason,omitempty"` // Server.SpotInstanceTermination after an interruption
	InstanceType       string            `json:"instance_type"`
	Region             string            `json:"region"`
	AZ                 string            `json:"az"`
	Mode               agent.Mode        `json:"mode"`
	ImageID            string            `json:"image_id"`
	Architecture       string            `json:"architecture,omitempty"`
	SubnetID           string            `json:"subnet_id,omitempty"`
	VPCID              string            `json:"vpc_id,omitempty"`
	SecurityGroupIDs   []string          `json:"security_group_ids,omitempty"`
	InstanceProfileARN string            `json:"instance_profile_arn,omitempty"`
	KeyName            string            `json:"key_name,omitempty"`
	TokensRequired     bool              `json:"tokens_required"` // IMDSv2 only
	PrivateIP          string            `json:"private_ip,omitempty"`
	PublicIP           string            `json:"public_ip,omitempty"`
	ClientToken        string            `json:"client_token,omitempty"`
	LaunchedAt         time.Time         `json:"launched_at"`
	Tags               map[string]string `json:"tags,omitempty"`
	ChecksOK           bool              `json:"checks_ok"` // only ConsoleState asks for the status checks
	SpotRequestID      string            `json:"spot_request_id,omitempty"`
	Lacks              []string          `json:"lacks,omitempty"` // in words: what could not be set after its launch
}

// PoolID names the pool that the instance occupies.
func (i Instance) PoolID() string { return agent.PoolID(i.InstanceType, i.AZ) }

// Ended says that the instance ends or has ended, and cannot come back.
func (i Instance) Ended() bool { return i.State == StateShuttingDown || i.State == StateTerminated }

// Live says that the instance costs money or soon will.
func (i Instance) Live() bool { return i.State == StatePending || i.State == StateRunning }

// Interrupted says that EC2 took the instance back.
func (i Instance) Interrupted() bool {
	return strings.HasPrefix(i.StateReason, "Server.SpotInstance")
}

func instanceFrom(region string, in types.Instance) Instance {
	out := Instance{
		ID:            aws.ToString(in.InstanceId),
		InstanceType:  string(in.InstanceType),
		Region:        region,
		Mode:          agent.OnDemand,
		ImageID:       aws.ToString(in.ImageId),
		Architecture:  string(in.Architecture),
		SubnetID:      aws.ToString(in.SubnetId),
		VPCID:         aws.ToString(in.VpcId),
		KeyName:       aws.ToString(in.KeyName),
		PrivateIP:     aws.ToString(in.PrivateIpAddress),
		PublicIP:      aws.ToString(in.PublicIpAddress),
		ClientToken:   aws.ToString(in.ClientToken),
		SpotRequestID: aws.ToString(in.SpotInstanceRequestId),
		LaunchedAt:    aws.ToTime(in.LaunchTime),
		Tags:          tagsToMap(in.Tags),
	}
	if in.State != nil {
		out.State = string(in.State.Name)
	}
	if in.StateReason != nil {
		out.StateReason = aws.ToString(in.StateReason.Code)
	}
	if in.Placement != nil {
		out.AZ = aws.ToString(in.Placement.AvailabilityZone)
	}
	if in.InstanceLifecycle == types.InstanceLifecycleTypeSpot {
		out.Mode = agent.Spot
	}
	if in.IamInstanceProfile != nil {
		out.InstanceProfileARN = aws.ToString(in.IamInstanceProfile.Arn)
	}
	if in.MetadataOptions != nil {
		out.TokensRequired = in.MetadataOptions.HttpTokens == types.HttpTokensStateRequired
	}
	for _, g := range in.SecurityGroups {
		out.SecurityGroupIDs = append(out.SecurityGroupIDs, aws.ToString(g.GroupId))
	}
	slices.Sort(out.SecurityGroupIDs)
	return out
}

func tagsToMap(tags []types.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	out := make(map[string]string, len(tags))
	for _, t := range tags {
		out[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return out
}
