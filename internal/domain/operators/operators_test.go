package operators_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/operators"
)

func TestRolesIncludeTheSmallerOnes(t *testing.T) {
	t.Parallel()
	order := []operators.Role{operators.Viewer, operators.Operator, operators.Admin}
	for i, has := range order {
		require.True(t, has.Known())
		for j, wants := range order {
			require.Equal(t, i >= j, has.Includes(wants), "%s for %s", has, wants)
			require.Equal(t, i < j, fault.Is(operators.Check("ann", has, wants), operators.RoleTooSmall))
		}
		require.False(t, operators.Role("").Includes(has))
		require.False(t, operators.Role("root").Includes(has))
	}
	require.False(t, operators.Role("root").Known())
	require.False(t, operators.Role("").Includes(""), "who has no role may do nothing")
}

func TestTheGreatestRoleOfTheGroupsCounts(t *testing.T) {
	t.Parallel()
	roles := map[string]operators.Role{"all": operators.Viewer, "sre": operators.Operator, "root": operators.Admin}
	for _, tc := range []struct {
		groups []string
		want   operators.Role
	}{
		{nil, ""},
		{[]string{"another", "SRE"}, ""},
		{[]string{"all"}, operators.Viewer},
		{[]string{"sre", "all"}, operators.Operator},
		{[]string{"all", "root", "sre"}, operators.Admin},
	} {
		require.Equal(t, tc.want, operators.Greatest(tc.groups, roles), "%v", tc.groups)
	}
}
