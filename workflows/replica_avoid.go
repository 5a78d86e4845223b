package workflows

import (
	"strings"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
)

// avoidance is what failed launches say about the candidates that follow.
type avoidance struct {
	quotas []string // modes and families whose quota is used up
	zones  []string // that have no address left
	dead   []string // pools whose instance ended before it ran
	causes []error
}

// learn takes in a failed launch.
func (a *avoidance) learn(c replica.Candidate, cause error) {
	a.causes = append(a.causes, cause)
	switch fault.CodeOf(cause) {
	case replica.Quota:
		a.quotas = append(a.quotas, quotaKey(c)) // another family, or on-demand
	case replica.NoAddresses:
		a.zones = append(a.zones, c.AZ) // another subnet
	case replica.Gone:
		a.dead = append(a.dead, c.Key())
	}
}

// reason says why a candidate is not worth trying, "" when it is.
func (a *avoidance) reason(c replica.Candidate) string {
	for _, key := range a.quotas {
		if key == quotaKey(c) {
			return "the quota of " + key + " is used up"
		}
	}
	for _, zone := range a.zones {
		if zone == c.AZ {
			return zone + " has no address left"
		}
	}
	for _, key := range a.dead {
		if key == c.Key() {
			return "its instance ended before it ran"
		}
	}
	return ""
}

// verdict is the failure when no candidate is left. When all failed for one reason that
// is not a lack of room, that reason is it: only a person can do something about it.
func (a *avoidance) verdict(candidates int) error {
	if len(a.causes) == 0 {
		return replica.NoPool.New("there is no pool to launch in")
	}
	last := a.causes[len(a.causes)-1]
	for _, cause := range a.causes {
		code := fault.CodeOf(cause)
		if code != fault.CodeOf(last) || code.Kind() == fault.Exhausted || code == replica.Gone || code == replica.TokenDead {
			return replica.NoPool.Wrap(last, "none of %d pools had room; the last one: %s", candidates, sentence(last))
		}
	}
	return last
}

// quotaKey is what EC2 counts together: a family, as spot and as on-demand.
func quotaKey(c replica.Candidate) string {
	family, _, _ := strings.Cut(c.InstanceType, ".")
	return string(c.Mode) + " " + family
}
