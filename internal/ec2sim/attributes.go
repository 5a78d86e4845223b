package ec2sim

type attributeValue struct {
	Value string `xml:"value,omitempty"`
}

type describeInstanceAttributeResponse struct {
	reply
	InstanceID string          `xml:"instanceId"`
	UserData   *attributeValue `xml:"userData"`
	Shutdown   *attributeValue `xml:"instanceInitiatedShutdownBehavior"`
	NoEnd      *attributeValue `xml:"disableApiTermination"`
	NoStop     *attributeValue `xml:"disableApiStop"`
}

// describeInstanceAttribute shows what the Describe calls do not. An instance without user
// data has an empty element, as at EC2.
func (c *call) describeInstanceAttribute() (replier, error) {
	found, err := c.lookUp([]string{c.form.get("InstanceId")})
	if err != nil {
		return nil, err
	}
	i := found[0]
	out := &describeInstanceAttributeResponse{InstanceID: i.ID}
	switch a := c.form.get("Attribute"); a {
	case "userData":
		out.UserData = &attributeValue{i.UserData}
	case "instanceInitiatedShutdownBehavior":
		out.Shutdown = &attributeValue{i.asked("InstanceInitiatedShutdownBehavior", "stop")}
	case "disableApiTermination":
		out.NoEnd = &attributeValue{i.asked("DisableApiTermination", "false")}
	case "disableApiStop":
		out.NoStop = &attributeValue{i.asked("DisableApiStop", "false")}
	default:
		return nil, invalid("The attribute '%s' is not simulated.", a)
	}
	return out, nil
}
