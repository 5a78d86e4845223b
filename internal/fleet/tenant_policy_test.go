package fleet_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/fleet"
)

// TestTenantRole: the template allows each call that the code makes in a tenant's account,
// and what ends, tags or launches an instance only with our tags and the client's.
func TestTenantRole(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../deploy/cloudformation/tenant-role.json")
	require.NoError(t, err)
	var template struct {
		Resources struct {
			Role struct {
				Properties struct {
					AssumeRolePolicyDocument json.RawMessage
					Policies                 []struct {
						PolicyDocument struct {
							Statement []struct {
								Sid, Effect string
								Action      any
								Condition   json.RawMessage
							}
						}
					}
				}
			}
		}
	}
	require.NoError(t, json.Unmarshal(raw, &template))
	role := template.Resources.Role.Properties
	require.Contains(t, string(role.AssumeRolePolicyDocument), "sts:ExternalId")
	conditions := map[string][]string{}
	for _, s := range role.Policies[0].PolicyDocument.Statement {
		require.Equal(t, "Allow", s.Effect, s.Sid)
		actions, many := s.Action.([]any)
		if !many {
			actions = []any{s.Action}
		}
		for _, a := range actions {
			conditions[a.(string)] = append(conditions[a.(string)], string(s.Condition))
		}
	}
	api := reflect.TypeFor[fleet.EC2API]()
	want := []string{"servicequotas:ListServiceQuotas"}
	for i := range api.NumMethod() {
		want = append(want, "ec2:"+api.Method(i).Name)
	}
	for _, call := range want {
		require.NotEmpty(t, conditions[call], "%s is not allowed", call)
	}
	for call := range conditions {
		require.True(t, slices.Contains(want, call) || call == "iam:PassRole", "%s is not called", call)
	}
	for call, keys := range map[string][]string{
		"ec2:TerminateInstances": {"aws:ResourceTag/managed-by", "aws:ResourceTag/spotkeeper:client"},
		"ec2:RunInstances": {"aws:RequestTag/managed-by", "aws:RequestTag/spotkeeper:client",
			"ec2:MetadataHttpTokens"},
		"ec2:CreateTags": {"aws:RequestTag/managed-by", "aws:ResourceTag/spotkeeper:client"},
		"iam:PassRole":   {"iam:PassedToService"},
	} {
		for _, key := range keys {
			require.Contains(t, strings.Join(conditions[call], " "), key, call)
		}
	}
}
