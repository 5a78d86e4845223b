package imds

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Identity is the facts about its instance that an agent sends when it registers.
type Identity struct {
	InstanceID   string `json:"instance_id"`
	InstanceType string `json:"instance_type"`
	Region       string `json:"region"`
	Zone         string `json:"az"`
	ImageID      string `json:"ami_id"`
	PrivateIP    string `json:"private_ip"`
	PublicIP     string `json:"public_ip,omitempty"`
	LifeCycle    string `json:"life_cycle"` // spot, on-demand or scheduled
}

// Spot says whether AWS may take the instance back.
func (i Identity) Spot() bool { return i.LifeCycle == "spot" }

// Identity reads who the instance is. Fails unless all but the addresses are there.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	var id Identity
	for _, one := range []struct {
		path     string
		into     *string
		optional bool
	}{
		{"meta-data/instance-id", &id.InstanceID, false},
		{"meta-data/instance-type", &id.InstanceType, false},
		{"meta-data/placement/availability-zone", &id.Zone, false},
		{"meta-data/placement/region", &id.Region, true},
		{"meta-data/ami-id", &id.ImageID, true},
		{"meta-data/local-ipv4", &id.PrivateIP, true},
		{"meta-data/public-ipv4", &id.PublicIP, true},
		{"meta-data/instance-life-cycle", &id.LifeCycle, true},
	} {
		text, err := c.Text(ctx, one.path)
		if errors.Is(err, ErrAbsent) && one.optional {
			continue
		}
		if err == nil && text == "" && !one.optional {
			err = errors.New("the answer was empty")
		}
		if err != nil {
			return Identity{}, fmt.Errorf("read %s: %w", one.path, err)
		}
		*one.into = text
	}
	if !strings.HasPrefix(id.InstanceID, "i-") || len(id.InstanceID) > 32 {
		return Identity{}, fmt.Errorf("the metadata service names no instance, but %.40q", id.InstanceID)
	}
	if id.Region == "" { // the path is newer than some metadata services
		id.Region = strings.TrimRight(id.Zone, "abcdefghijklmnopqrstuvwxyz")
	}
	return id, nil
}

// Tag reads a tag of the instance, which it can when instance metadata tags are allowed.
func (c *Client) Tag(ctx context.Context, key string) (string, error) {
	text, err := c.Text(ctx, "meta-data/tags/instance/"+key)
	if errors.Is(err, ErrAbsent) {
		return "", fmt.Errorf("the instance has no tag %q, or its metadata shows no tags: "+
			"aws ec2 modify-instance-metadata-options --instance-metadata-tags enabled", key)
	}
	return text, err
}
