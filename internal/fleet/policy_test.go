package fleet_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/fleet"
)

// TestPolicyListsTheCalls keeps deploy/iam-policy.json equal to the calls in use:
// one that is missing fails in production only, one too many is a permission
// that nobody needs. iam:PassRole is no call; RunInstances with a profile needs it.
func TestPolicyListsTheCalls(t *testing.T) {
	t.Parallel()

	want := []string{"iam:PassRole"}
	for service, api := range map[string]reflect.Type{
		"ec2":     reflect.TypeFor[fleet.EC2API](),
		"pricing": reflect.TypeFor[fleet.PriceListAPI](),
		"sts":     reflect.TypeFor[fleet.RoleAPI](),

		"servicequotas": reflect.TypeFor[fleet.QuotasAPI](),
	} {
		for i := range api.NumMethod() {
			want = append(want, service+":"+api.Method(i).Name)
		}
	}
	slices.Sort(want)

	raw, err := os.ReadFile("../../deploy/iam-policy.json")
	require.NoError(t, err)
	var policy struct {
		Statement []struct {
			Sid, Effect string
			Action      any
		}
	}
	require.NoError(t, json.Unmarshal(raw, &policy))
	var have []string
	for _, s := range policy.Statement {
		require.Equal(t, "Allow", s.Effect, s.Sid)
		switch a := s.Action.(type) {
		case string:
			have = append(have, a)
		case []any:
			for _, one := range a {
				have = append(have, one.(string))
			}
		}
	}
	slices.Sort(have)
	require.Equal(t, want, slices.Compact(have))
}
