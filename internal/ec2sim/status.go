package ec2sim

import "slices"

type statusSummary struct {
	Status  string `xml:"status"`
	Details []struct {
		Name   string `xml:"name"`
		Status string `xml:"status"`
	} `xml:"details>item"`
}

type statusItem struct {
	ID       string        `xml:"instanceId"`
	Zone     string        `xml:"availabilityZone"`
	State    stateItem     `xml:"instanceState"`
	System   statusSummary `xml:"systemStatus"`
	Instance statusSummary `xml:"instanceStatus"`
}

type describeInstanceStatusResponse struct {
	reply
	Statuses  []statusItem `xml:"instanceStatusSet>item"`
	NextToken string       `xml:"nextToken,omitempty"`
}

var reachability = map[string]string{"ok": "passed", "impaired": "failed", "initializing": "initializing"}

func summary(status string) statusSummary {
	out := statusSummary{Status: status}
	if detail, ok := reachability[status]; ok {
		out.Details = make([]struct {
			Name   string `xml:"name"`
			Status string `xml:"status"`
		}, 1)
		out.Details[0].Name, out.Details[0].Status = "reachability", detail
	}
	return out
}

// describeInstanceStatus shows running instances, or all if asked to.
func (c *call) describeInstanceStatus() (replier, error) {
	if c.form.has("MaxResults") && c.form.has("InstanceId.1") {
		return nil, fail("InvalidParameterCombination",
			"The parameter instancesSet cannot be used with the parameter maxResults")
	}
	all, err := c.form.flag("IncludeAllInstances")
	if err != nil {
		return nil, err
	}
	filters, err := c.form.filters("availability-zone", "instance-state-name", "instance-state-code",
		"instance-status.status", "system-status.status")
	if err != nil {
		return nil, err
	}
	ofHealth := func(f filter) bool { return f.name == "instance-status.status" || f.name == "system-status.status" }
	found, err := c.named(slices.DeleteFunc(slices.Clone(filters), ofHealth))
	if err != nil {
		return nil, err
	}
	now := c.seen()
	health := slices.DeleteFunc(filters, func(f filter) bool { return !ofHealth(f) })
	found = slices.DeleteFunc(found, func(i *instance) bool {
		return !all && c.shownState(i) != running ||
			!match(health, nil, func(string) []string { return []string{i.health(now)} })
	})
	found, next, err := page(c, found, 1000, bySeq)
	if err != nil {
		return nil, err
	}
	out := &describeInstanceStatusResponse{NextToken: next}
	for _, i := range found {
		s := c.shownState(i)
		out.Statuses = append(out.Statuses,
			statusItem{i.ID, i.Zone, stateItem{stateCodes[s], s}, summary(i.health(now)), summary(i.health(now))})
	}
	return out, nil
}
