package ec2sim

import (
	"slices"
	"time"
)

type spotRequestItem struct {
	ID       string `xml:"spotInstanceRequestId"`
	State    string `xml:"state"`
	Code     string `xml:"status>code"`
	Message  string `xml:"status>message"`
	Updated  string `xml:"status>updateTime"`
	Kind     string `xml:"type"`
	Instance string `xml:"instanceId"`
	Created  string `xml:"createTime"`
	Zone     string `xml:"launchedAvailabilityZone"`
	Product  string `xml:"productDescription"`
	Behave   string `xml:"instanceInterruptionBehavior"`
	Tags     []tag  `xml:"tagSet>item"`
}

type describeSpotRequestsResponse struct {
	reply
	Requests  []spotRequestItem `xml:"spotInstanceRequestSet>item"`
	NextToken string            `xml:"nextToken,omitempty"`
}

// isWanted says whether a persistent request waits to launch the instance again. It may wait
// for ever.
func (i *instance) isWanted(now time.Time) bool {
	return i.Persistent && !i.Cancelled && !i.Relaunched && reached(i.Gone, now)
}

// spotRequest is the request behind a spot instance; one that is persistent outlives it.
func (c *call) spotRequest(i *instance) spotRequestItem {
	out := spotRequestItem{
		ID:       i.SpotRequest,
		State:    "active",
		Code:     "fulfilled",
		Message:  "Your Spot request is fulfilled.",
		Updated:  stamp(i.Launched),
		Kind:     "one-time",
		Instance: i.ID,
		Created:  stamp(i.Launched),
		Zone:     i.Zone,
		Product:  linux,
		Behave:   i.Behaviour,
		Tags:     c.world.tagsOf(i.SpotRequest),
	}
	if i.Persistent {
		out.Kind = "persistent"
	}
	if i.Cancelled {
		out.State, out.Code, out.Message = "cancelled", "request-canceled-and-instance-running", "Your Spot request is canceled."
		return out
	}
	switch now := c.now; {
	case i.isWanted(now):
		out.State, out.Code, out.Updated, out.Instance = "open", "capacity-not-available", stamp(i.End), ""
		out.Message = "There is no Spot capacity available that matches your request."
	case i.interrupted(now):
		out.State, out.Code, out.Updated = "closed", "instance-terminated-no-capacity", stamp(i.End)
		out.Message = "Your Spot Instance was terminated because there is no Spot capacity."
	case reached(i.End, now):
		out.State, out.Code, out.Updated = "closed", "instance-terminated-by-user", stamp(i.End)
		out.Message = "Your Spot Instance was terminated."
	case reached(i.Notice, now):
		out.Code, out.Updated = "marked-for-termination", stamp(i.Notice)
		out.Message = "Your Spot Instance is marked for interruption."
	}
	return out
}

func (c *call) ownSpotRequests() ([]*instance, error) {
	ids := c.form.list("SpotInstanceRequestId")
	found := c.world.instances.sorted(func(i *instance) bool {
		return i.SpotRequest != "" && c.mine(i) && !i.Relaunched && (i.described(c.now) || i.isWanted(c.now)) &&
			(len(ids) == 0 || slices.Contains(ids, i.SpotRequest))
	})
	for _, id := range ids {
		if !slices.ContainsFunc(found, func(i *instance) bool { return i.SpotRequest == id }) {
			return nil, fail("InvalidSpotInstanceRequestID.NotFound",
				"The spot instance request ID '%s' does not exist", id)
		}
	}
	return found, nil
}

func (c *call) describeSpotInstanceRequests() (replier, error) {
	filters, err := c.form.filters("spot-instance-request-id", "state", "status-code", "instance-id",
		"launched-availability-zone", "type")
	if err != nil {
		return nil, err
	}
	found, err := c.ownSpotRequests()
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(i *instance) bool {
		r := c.spotRequest(i)
		field := map[string]string{
			"spot-instance-request-id":   r.ID,
			"state":                      r.State,
			"status-code":                r.Code,
			"instance-id":                r.Instance,
			"launched-availability-zone": r.Zone,
			"type":                       r.Kind,
		}
		return !match(filters, c.world.tags.rows[r.ID], func(name string) []string { return []string{field[name]} })
	})
	found, next, err := page(c, found, 1000, func(i *instance) string { return i.ID })
	if err != nil {
		return nil, err
	}
	out := &describeSpotRequestsResponse{NextToken: next}
	for _, i := range found {
		out.Requests = append(out.Requests, c.spotRequest(i))
	}
	return out, nil
}

type cancelledItem struct {
	ID    string `xml:"spotInstanceRequestId"`
	State string `xml:"state"`
}

type cancelSpotRequestsResponse struct {
	reply
	Cancelled []cancelledItem `xml:"spotInstanceRequestSet>item"`
}

// cancelSpotInstanceRequests leaves the instances running, as EC2 does.
func (c *call) cancelSpotInstanceRequests() (replier, error) {
	if len(c.form.list("SpotInstanceRequestId")) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter SpotInstanceRequestId")
	}
	found, err := c.ownSpotRequests()
	if err != nil {
		return nil, err
	}
	out := &cancelSpotRequestsResponse{}
	for _, i := range found {
		c.world.cancelRequest(i.SpotRequest)
		out.Cancelled = append(out.Cancelled, cancelledItem{i.SpotRequest, "cancelled"})
	}
	return out, nil
}
