package ec2sim

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

const rootDevice = "/dev/xvda"

// image is a machine image. Account "amazon" owns the public ones.
type image struct {
	ID          string    `json:"id"`
	Account     string    `json:"account"`
	Region      string    `json:"region"`
	Name        string    `json:"name"`
	Description string    `json:"description,omitempty"`
	Arch        string    `json:"arch"`
	Product     string    `json:"product,omitempty"` // empty: Linux
	Snapshot    string    `json:"snapshot"`
	Size        int       `json:"size"` // GiB
	Source      string    `json:"source,omitempty"`
	Created     time.Time `json:"created"`
	Available   time.Time `json:"available"`
}

const amazon = "amazon"

func publicImages(r region) []*image {
	var out []*image
	for _, arch := range []string{"x86_64", "arm64"} {
		id := client.PublicImage(r.name, arch)
		out = append(out, &image{
			ID:          id,
			Account:     amazon,
			Region:      r.name,
			Name:        "simulated-linux-" + arch,
			Description: "A public Linux image",
			Arch:        arch,
			Snapshot:    "snap-" + strings.TrimPrefix(id, "ami-"),
			Size:        8,
			Created:     time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
		})
	}
	for _, p := range osProducts {
		if p.name == linux {
			continue
		}
		id := client.ProductImage(r.name, p.name)
		out = append(out, &image{
			ID:          id,
			Account:     amazon,
			Region:      r.name,
			Name:        "simulated-" + strings.ToLower(p.system) + "-x86_64",
			Description: "A public image with " + p.name,
			Arch:        "x86_64",
			Product:     p.name,
			Snapshot:    "snap-" + strings.TrimPrefix(id, "ami-"),
			Size:        30,
			Created:     time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC),
		})
	}
	return out
}

// product is what the image runs.
func (m *image) product() string { return cmp.Or(m.Product, linux) }

// productOf is the product that an instance runs, which is its image's; Linux when the image
// was deleted.
func (c *call) productOf(i *instance) string {
	if m, err := c.imageNamed(i.Image); err == nil {
		return m.product()
	}
	return linux
}

func (m *image) state(now time.Time) string {
	if now.Before(m.Available) {
		return "pending"
	}
	return "available"
}

// images lists what the caller may use: the public ones and the caller's own.
func (c *call) images() []*image {
	own := c.world.images.sorted(func(m *image) bool { return m.Account == c.account && m.Region == c.place.name })
	return append(publicImages(c.place), own...)
}

var imageIDs = regexp.MustCompile(`^ami-([0-9a-f]{8}|[0-9a-f]{17})$`)

func (c *call) imageNamed(id string) (*image, error) {
	if !imageIDs.MatchString(id) {
		return nil, fail("InvalidAMIID.Malformed", "Invalid id: \"%s\" (expecting \"ami-...\")", id)
	}
	for _, m := range c.images() {
		if m.ID == id {
			return m, nil
		}
	}
	return nil, fail("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
}

// imageFor is the image to launch a type from.
func (c *call) imageFor(id string, t instanceType) (*image, error) {
	if id == "" {
		return nil, fail("MissingParameter", "The request must contain the parameter ImageId")
	}
	m, err := c.imageNamed(id)
	switch {
	case err != nil:
		return nil, err
	case m.state(c.now) != "available":
		return nil, fail("InvalidAMIID.Unavailable", "The image '%s' is not available: it is %s.", id, m.state(c.now))
	case m.Arch != t.arch:
		return nil, invalid(
			"The architecture '%s' of the specified instance type does not match the architecture '%s' of the specified AMI.",
			t.arch,
			m.Arch,
		)
	}
	return m, nil
}

type createImageResponse struct {
	reply
	ID string `xml:"imageId"`
}

// createImage has no client token at AWS: the name is what makes it happen once.
func (c *call) createImage() (replier, error) {
	found, err := c.lookUp([]string{c.form.get("InstanceId")})
	if err != nil {
		return nil, err
	}
	i, name := found[0], c.form.get("Name")
	if s := i.state(c.now); s != running && s != stopped && s != stopping {
		return nil, incorrectState(i, s)
	}
	if len(name) < 3 || len(name) > 128 {
		return nil, fail("InvalidAMIName.Malformed", "AMI names must be between 3 and 128 characters long.")
	}
	for _, m := range c.images() {
		if m.Account == c.account && m.Name == name {
			return nil, fail("InvalidAMIName.Duplicate", "AMI name %s is already in use by AMI %s", name, m.ID)
		}
	}
	tags, err := c.form.tagSpecifications("image", "snapshot")
	if err != nil {
		return nil, err
	}
	snap := c.snap(i, "Created by CreateImage("+i.ID+")")
	m := &image{
		ID:          "ami-0" + suffix(16),
		Account:     c.account,
		Region:      c.place.name,
		Name:        name,
		Description: c.form.get("Description"),
		Arch:        typeMap[i.Type].arch,
		Snapshot:    snap.ID,
		Size:        i.Disk.Size,
		Source:      i.ID,
		Created:     c.now,
		Available:   snap.Completed,
	}
	c.world.images.put(m.ID, m)
	c.world.tag(m.ID, tags["image"])
	c.world.tag(snap.ID, tags["snapshot"])
	return &createImageResponse{ID: m.ID}, nil
}

func (c *call) deregisterImage() (replier, error) {
	m, err := c.imageNamed(c.form.get("ImageId"))
	if err != nil {
		return nil, err
	}
	if m.Account != c.account {
		return nil, fail("AuthFailure", "Not authorized for images: [%s]", m.ID)
	}
	c.world.images.drop(m.ID)
	c.world.tags.drop(m.ID)
	if both, err := c.form.flag("DeleteAssociatedSnapshots"); err != nil {
		return nil, err
	} else if both {
		c.world.snapshots.drop(m.Snapshot)
		c.world.tags.drop(m.Snapshot)
	}
	return &done{Return: true}, nil
}
