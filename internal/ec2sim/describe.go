package ec2sim

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

var instanceFilters = []string{
	"instance-id", "instance-state-name", "instance-state-code", "client-token", "availability-zone", "instance-type",
	"instance-lifecycle",
	"image-id", "spot-instance-request-id", "subnet-id", "vpc-id", "private-ip-address", "ip-address",
	"reservation-id", "key-name", "launch-time",
	"instance.group-id", "iam-instance-profile.arn", "owner-id", "architecture", "state-reason-code",
	"metadata-options.http-tokens",
}

// seen is the moment whose states the Describe calls show.
func (c *call) seen() time.Time { return c.now.Add(-seconds(c.world.set().Delays.Lag)) }

func (c *call) describeInstances() (replier, error) {
	if c.form.has("MaxResults") && c.form.has("InstanceId.1") {
		return nil, fail("InvalidParameterCombination",
			"The parameter instancesSet cannot be used with the parameter maxResults")
	}
	filters, err := c.form.filters(instanceFilters...)
	if err != nil {
		return nil, err
	}
	found, err := c.named(filters)
	if err != nil {
		return nil, err
	}
	found, next, err := page(c, found, 1000, bySeq)
	if err != nil {
		return nil, err
	}
	out := &describeInstancesResponse{NextToken: next}
	for len(found) > 0 { // the instances of one launch follow each other
		n := 1
		for n < len(found) && found[n].Reservation == found[0].Reservation {
			n++
		}
		out.Reservations = append(out.Reservations, c.reservationItem(found[:n]))
		found = found[n:]
	}
	return out, nil
}

func bySeq(i *instance) string { return fmt.Sprintf("%019d", i.Seq) }

// named returns the caller's visible instances that pass the filters, in the
// order of their launch: those of InstanceId.N, or all.
func (c *call) named(filters []filter) ([]*instance, error) {
	ids := c.form.list("InstanceId")
	if len(ids) > 0 {
		found, err := c.lookUp(ids)
		if err != nil {
			return nil, err
		}
		found = slices.DeleteFunc(found, func(i *instance) bool { return !c.passes(i, filters) })
		slices.SortFunc(found, func(a, b *instance) int { return int(a.Seq - b.Seq) })
		return slices.Compact(found), nil
	}
	var found []*instance
	for _, i := range c.candidates(filters) {
		if c.mine(i) && i.described(c.now) && c.passes(i, filters) {
			found = append(found, i)
		}
	}
	slices.SortFunc(found, func(a, b *instance) int { return int(a.Seq - b.Seq) })
	return found, nil
}

// candidates are the instances that the filters can select: a filter of whole ids is an
// index, so that a fleet of thousands is not searched for each batch of ids.
func (c *call) candidates(filters []filter) map[string]*instance {
	at := slices.IndexFunc(filters, func(f filter) bool { return f.name == "instance-id" })
	if at < 0 || slices.ContainsFunc(filters[at].values, func(v string) bool { return strings.ContainsAny(v, "*?") }) {
		return c.world.instances.rows
	}
	out := make(map[string]*instance, len(filters[at].values))
	for _, id := range filters[at].values {
		if i, known := c.world.instances.rows[id]; known {
			out[id] = i
		}
	}
	return out
}

func (c *call) mine(i *instance) bool { return i.Account == c.account && i.Region == c.place.name }

var instanceIDs = regexp.MustCompile(`^i-([0-9a-f]{8}|[0-9a-f]{17})$`)

// lookUp finds instances by id, or refuses all of them if one is not to be seen.
func (c *call) lookUp(ids []string) ([]*instance, error) {
	var found []*instance
	var missing []string
	for _, id := range ids {
		if !instanceIDs.MatchString(id) {
			return nil, fail("InvalidInstanceID.Malformed", "Invalid id: \"%s\"", id)
		}
		i, ok := c.world.instances.rows[id]
		if !ok || !c.mine(i) || !i.described(c.now) {
			missing = append(missing, id)
			continue
		}
		found = append(found, i)
	}
	switch len(missing) {
	case 0:
		return found, nil
	case 1:
		return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", missing[0])
	default:
		return nil, fail("InvalidInstanceID.NotFound", "The instance IDs '%s' do not exist",
			strings.Join(missing, ", "))
	}
}

func (c *call) passes(i *instance, filters []filter) bool {
	now := c.seen()
	return match(filters, c.world.tags.rows[i.ID], func(name string) []string {
		switch name {
		case "instance-id":
			return []string{i.ID}
		case "instance-state-name":
			return []string{c.shownState(i)}
		case "instance-state-code":
			return []string{strconv.Itoa(stateCodes[c.shownState(i)])}
		case "client-token":
			return []string{i.Token}
		case "availability-zone":
			return []string{i.Zone}
		case "instance-type":
			return []string{i.Type}
		case "instance-lifecycle":
			if i.Market == client.Spot {
				return []string{"spot"}
			}
			return nil // there is no value for on-demand
		case "image-id":
			return []string{i.Image}
		case "spot-instance-request-id":
			return []string{i.SpotRequest}
		case "subnet-id":
			return []string{i.Subnet}
		case "vpc-id":
			return []string{vpcID(i.Account, i.Region)}
		case "private-ip-address":
			return []string{i.PrivateIP}
		case "ip-address":
			return []string{c.world.publicIP(i, now)}
		case "reservation-id":
			return []string{i.Reservation}
		case "key-name":
			return []string{i.KeyName}
		case "launch-time":
			return []string{stamp(i.Launched)}
		case "instance.group-id":
			return i.Groups
		case "iam-instance-profile.arn":
			return []string{i.Profile}
		case "owner-id":
			return []string{i.Account}
		case "architecture":
			return []string{typeMap[i.Type].arch}
		case "state-reason-code":
			code, _ := i.reason(now)
			return []string{code}
		default: // metadata-options.http-tokens
			return []string{tokensOf(i)}
		}
	})
}

func tokensOf(i *instance) string {
	if i.IMDSv2 {
		return "required"
	}
	return "optional"
}
