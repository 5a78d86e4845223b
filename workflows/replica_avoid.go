package workflows

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/workflows/steps"
)

// avoidance is what failed launches say about the candidates that follow.
type avoidance struct {
	quotas []replica.Candidate // that a quota of the account does not fit
	types  []replica.Candidate // that a quota of their type does not fit
	zones  []string            // that have no address left
	dead   []string            // pools whose instance ended before it ran
	doubts []replica.Candidate
	causes []error

	revisits bool                // what is left out is tried after the rest
	failed   []replica.Candidate // all that gave no instance
	deaths   []replica.Candidate // whose instance ended before it ran
	leftOut  []replica.Candidate
}

// mostRevisits is how many of the candidates that were left out are tried after all.
const mostRevisits = 8

// leaveOut notes a candidate that is not tried for now.
func (a *avoidance) leaveOut(c replica.Candidate) { a.leftOut = append(a.leftOut, c) }

// nextLeftOut takes the next candidate that was left out: the first one that does not share both its
// zone and its type with failures, else the first one.
func (a *avoidance) nextLeftOut() (c replica.Candidate, ok bool) {
	if len(a.leftOut) == 0 {
		return c, false
	}
	at := max(slices.IndexFunc(a.leftOut, func(c replica.Candidate) bool { return !isSurrounded(c, a.failed) }), 0)
	c = a.leftOut[at]
	a.leftOut = slices.Delete(a.leftOut, at, at+1)
	return c, true
}

// mayDieToo says whether an instance would probably end before it runs, as others have. Each costs the
// time that an instance takes to start, so after two deaths of a type, or in a zone, another one
// comes first. A type is judged as spot and as on-demand, until it died three times.
func (a *avoidance) mayDieToo(c replica.Candidate) bool {
	ofType, ofBoth, inZone := 0, 0, 0
	for _, d := range a.deaths {
		if d.AZ == c.AZ {
			inZone++
		}
		if d.InstanceType == c.InstanceType {
			ofBoth++
			if d.Mode == c.Mode {
				ofType++
			}
		}
	}
	return ofType > 1 || ofBoth > 2 || inZone > 1 || ofType > 0 && inZone > 0
}

// isSurrounded says whether a candidate shares its zone with one of the failures and its type with
// one of them, so that neither tells it apart from what failed.
func isSurrounded(c replica.Candidate, failures []replica.Candidate) bool {
	return slices.ContainsFunc(failures, func(f replica.Candidate) bool { return f.AZ == c.AZ }) &&
		slices.ContainsFunc(failures, func(f replica.Candidate) bool { return f.InstanceType == c.InstanceType })
}

// mostDoubts is how many candidates may be refused outside an emergency before the refusal
// is taken to be about all of them.
const mostDoubts = 3

// doubt takes in a refusal outside an emergency, and says whether it is about every
// candidate. The one that is tried next lies in another zone, and the one after that is of
// another type too, so that a refusal of a zone or of a type costs one candidate and no
// more, and a missing permission is asked about three times. On-demand is not paid for because
// spot was refused: that is for a person to mend.
func (a *avoidance) doubt(c replica.Candidate, cause error) bool {
	if isAboutCandidate(cause) {
		a.doubts = append(a.doubts, c)
	}
	return len(a.doubts) >= mostDoubts
}

// isAboutCandidate says whether a failure may be about one candidate alone, although EC2's
// answer does not say so. Throttling is about the account, and a token that was used with
// other parameters about the program.
func isAboutCandidate(cause error) bool {
	switch fault.CodeOf(cause) {
	case "", replica.NoCapacity, replica.QuotaUsedUp, replica.TypeQuotaUsedUp, replica.NoAddresses, replica.TokenDead,
		replica.InstanceGone, replica.Unseen, replica.Throttled, replica.TokenReused, replica.NotRunning:
		return false
	case replica.Refused, replica.Misconfigured, replica.Unexplained, replica.PartsQuotaUsedUp:
		return true
	default:
		return fault.KindOf(cause).Retryable()
	}
}

// learn takes in a failed launch.
func (a *avoidance) learn(c replica.Candidate, cause error) {
	a.causes, a.failed = append(a.causes, cause), append(a.failed, c)
	if state, _ := instanceEnd(cause); state != "" {
		a.deaths = append(a.deaths, c)
	}
	switch fault.CodeOf(cause) {
	case replica.QuotaUsedUp:
		a.quotas = append(a.quotas, c) // another family, a smaller size, or on-demand
	case replica.TypeQuotaUsedUp:
		a.types = append(a.types, c) // another type of any size, or on-demand
	case replica.NoAddresses:
		a.zones = append(a.zones, c.AZ) // another subnet
	case replica.InstanceGone:
		a.dead = append(a.dead, c.Key())
	}
}

// reason says why a candidate is not worth trying, "" when it is.
func (a *avoidance) reason(c replica.Candidate) string {
	for _, refused := range a.quotas {
		if quotaKey(refused) == quotaKey(c) && !isSmaller(c, refused) {
			return "the quota of " + quotaKey(c) + " is used up"
		}
	}
	for _, refused := range a.types {
		if refused.Mode == c.Mode && refused.InstanceType == c.InstanceType {
			return "the quota of " + string(c.Mode) + " " + c.InstanceType + " is used up"
		}
	}
	for _, zone := range a.zones {
		if zone == c.AZ {
			return zone + " has no address left"
		}
	}
	for n, refused := range a.doubts {
		if refused.Mode != c.Mode || refused.AZ == c.AZ || n > 0 && refused.InstanceType == c.InstanceType {
			return "EC2 refused " + refused.Key()
		}
	}
	for _, key := range a.dead {
		if key == c.Key() {
			return "its instance ended before it ran"
		}
	}
	if a.revisits && a.mayDieToo(c) {
		return "instances of its type or in its zone ended before they ran"
	}
	return ""
}

// verdict is the failure when no candidate is left. When all failed for one reason that
// is not a lack of room, that reason is its code: only a person can do something about
// it. The sentence names each reason once, those that a person can mend first.
func (a *avoidance) verdict(candidates int) error {
	if len(a.causes) == 0 {
		return replica.NoPool.New("there is no pool to launch in")
	}
	last := a.causes[len(a.causes)-1]
	code := fault.CodeOf(last)
	for _, cause := range a.causes {
		c := fault.CodeOf(cause)
		if c != fault.CodeOf(last) || c == "" || c.Kind() == fault.Exhausted || c == replica.InstanceGone ||
			c == replica.Unseen || c == replica.TokenDead {
			code = replica.NoPool
		}
	}
	return code.Wrap(last, "none of %d candidates gave an instance: %s", candidates, a.reasons())
}

// reasons lists why candidates failed, each reason once with the number of them.
func (a *avoidance) reasons() string {
	type reason struct {
		words   string
		times   int
		mending bool
	}
	var all []reason
	for _, cause := range a.causes {
		code := fault.CodeOf(cause)
		words := cmp.Or(detailOf(cause, replica.DetailWhy), steps.Sentence(cause))
		at := slices.IndexFunc(all, func(r reason) bool { return r.words == words })
		if at < 0 {
			at = len(all)
			all = append(all, reason{
				words: words,
				mending: code == replica.Refused || code == replica.Misconfigured || code == replica.QuotaUsedUp ||
					code == replica.TypeQuotaUsedUp || code == replica.PartsQuotaUsedUp,
			})
		}
		all[at].times++
	}
	slices.SortStableFunc(all, func(x, y reason) int {
		if x.mending != y.mending {
			return map[bool]int{true: -1, false: 1}[x.mending]
		}
		return y.times - x.times
	})
	shown := make([]string, 0, mostReasons)
	for _, r := range all[:min(len(all), mostReasons)] {
		if len(a.causes) > 1 && len(all) > 1 {
			r.words = timesInWords(r.times) + " " + r.words
		}
		shown = append(shown, r.words)
	}
	return strings.Join(shown, "; ")
}

func timesInWords(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// mostReasons is how many reasons a notification names.
const mostReasons = 3

// isSmaller says whether a candidate may fit the rest of a quota that did not fit another one:
// EC2 counts vCPUs. Choices that were recorded before they named the vCPUs say no.
func isSmaller(c, refused replica.Candidate) bool { return c.VCPUs > 0 && c.VCPUs < refused.VCPUs }

// quotaKey is what EC2 counts together: a family, as spot and as on-demand.
func quotaKey(c replica.Candidate) string {
	family, _, _ := strings.Cut(c.InstanceType, ".")
	return string(c.Mode) + " " + family
}
