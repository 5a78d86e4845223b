package ec2sim

type attributeValue struct {
	Value string `xml:"value,omitempty"`
}

type describeInstanceAttributeResponse struct {
	reply
	InstanceID string         `xml:"instanceId"`
	UserData   attributeValue `xml:"userData"`
}

// describeInstanceAttribute shows the user data, the one attribute that the
// Describe calls do not. An instance without any has an empty element, as at EC2.
func (c *call) describeInstanceAttribute() (replier, error) {
	found, err := c.lookUp([]string{c.form.get("InstanceId")})
	if err != nil {
		return nil, err
	}
	if a := c.form.get("Attribute"); a != "userData" {
		return nil, invalid("The attribute '%s' is not simulated.", a)
	}
	return &describeInstanceAttributeResponse{InstanceID: found[0].ID, UserData: attributeValue{found[0].UserData}}, nil
}
