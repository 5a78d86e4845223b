package fleet

import (
	"encoding/json"
	"strings"

	"spotkeeper/internal/domain/replica"
)

// maxSessionPolicy is how many characters AWS takes as a session policy:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const maxSessionPolicy = 2048

type policyDocument struct {
	Version   string
	Statement []policyStatement
}

type policyStatement struct {
	Effect      string
	Action      []string
	Resource    string                       `json:",omitempty"`
	NotResource string                       `json:",omitempty"`
	Condition   map[string]map[string]string `json:",omitempty"`
}

// SessionPolicy narrows a session of a tenant's role to what the tenant's own tag allows,
// whatever else the role may do: a session of one client cannot end, launch or tag
// anything in the name of another. A session policy only ever takes away. partition is
// that of the role, such as aws. Fails with launch.misconfigured when AWS would not take it.
func SessionPolicy(partition, clientID string) (string, error) {
	instances := "arn:" + partition + ":ec2:*:*:instance/*"
	tagged := func(key string) map[string]map[string]string {
		return map[string]map[string]string{"StringEquals": {
			key + "/" + TagManagedBy: ManagedBy, key + "/" + TagClient: clientID,
		}}
	}
	document, err := json.Marshal(policyDocument{Version: "2012-10-17", Statement: []policyStatement{
		{Effect: "Allow", Resource: "*",
			Action: []string{"ec2:Describe*", "ec2:GetSpotPlacementScores", "ec2:CancelSpotInstanceRequests",
				"servicequotas:ListServiceQuotas"}},
		{Effect: "Allow", Action: []string{"ec2:RunInstances"}, NotResource: instances},
		{Effect: "Allow", Action: []string{"ec2:RunInstances"}, Resource: instances, Condition: tagged("aws:RequestTag")},
		{Effect: "Allow", Action: []string{"ec2:CreateTags"}, Resource: "*", Condition: tagged("aws:RequestTag")},
		{Effect: "Allow", Action: []string{"ec2:TerminateInstances", "ec2:ModifyInstanceAttribute"}, Resource: "*",
			Condition: tagged("aws:ResourceTag")},
		{Effect: "Allow", Resource: "*", // completes an action, or keeps it waiting
			Action:    []string{"autoscaling:*LifecycleAction*"},
			Condition: map[string]map[string]string{"StringEquals": {"aws:ResourceTag/" + TagClient: clientID}}},
		{Effect: "Allow", Resource: "*", // volumes that are encrypted with a key of the tenant
			Action: []string{"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:ReEncrypt*"}},
		{Effect: "Allow", Action: []string{"iam:PassRole"}, Resource: "*",
			Condition: map[string]map[string]string{"StringEquals": {"iam:PassedToService": ec2Service(partition)}}},
	}})
	if err == nil && len(document) > maxSessionPolicy {
		return "", replica.Misconfigured.New("the session policy of client %s has %d characters, and AWS takes %d",
			clientID, len(document), maxSessionPolicy)
	}
	return string(document), err
}

// ec2Service is EC2's service name in IAM policies.
func ec2Service(partition string) string {
	if partition == "aws-cn" {
		return "ec2.amazonaws.com.cn"
	}
	return "ec2.amazonaws.com"
}

// partitionOf reads the partition of an ARN; aws when there is none.
func partitionOf(arn string) string {
	if parts := strings.SplitN(arn, ":", 3); len(parts) == 3 && parts[1] != "" {
		return parts[1]
	}
	return "aws"
}
