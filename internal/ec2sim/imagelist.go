package ec2sim

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

type imageItem struct {
	ID          string     `xml:"imageId"`
	Location    string     `xml:"imageLocation"`
	State       string     `xml:"imageState"`
	Owner       string     `xml:"imageOwnerId"`
	Alias       string     `xml:"imageOwnerAlias,omitempty"`
	Public      bool       `xml:"isPublic"`
	Arch        string     `xml:"architecture"`
	Type        string     `xml:"imageType"`
	Name        string     `xml:"name"`
	Description string     `xml:"description,omitempty"`
	RootType    string     `xml:"rootDeviceType"`
	RootDevice  string     `xml:"rootDeviceName"`
	Disks       []ebsImage `xml:"blockDeviceMapping>item"`
	Virtual     string     `xml:"virtualizationType"`
	Hypervisor  string     `xml:"hypervisor"`
	ENA         bool       `xml:"enaSupport"`
	Created     string     `xml:"creationDate"`
	Platform    string     `xml:"platformDetails"`
	Source      string     `xml:"sourceInstanceId,omitempty"`
	Tags        []tag      `xml:"tagSet>item"`
}

type ebsImage struct {
	Device   string `xml:"deviceName"`
	Snapshot string `xml:"ebs>snapshotId"`
	Size     int    `xml:"ebs>volumeSize"`
	Delete   bool   `xml:"ebs>deleteOnTermination"`
	Kind     string `xml:"ebs>volumeType"`
}

type describeImagesResponse struct {
	reply
	Images    []imageItem `xml:"imagesSet>item"`
	NextToken string      `xml:"nextToken,omitempty"`
}

func (c *call) describeImages() (replier, error) {
	filters, err := c.form.filters("image-id", "name", "state", "architecture", "owner-id", "owner-alias",
		"source-instance-id", "is-public", "root-device-type", "virtualization-type",
		"block-device-mapping.snapshot-id", "creation-date", "description")
	if err != nil {
		return nil, err
	}
	ids, owners := c.form.list("ImageId"), c.form.list("Owner")
	for _, id := range ids {
		if _, err := c.imageNamed(id); err != nil {
			return nil, err
		}
	}
	found := slices.DeleteFunc(c.images(), func(m *image) bool {
		return len(ids) > 0 && !slices.Contains(ids, m.ID) || !c.ownedBy(owners, m.Account) ||
			!match(filters, c.world.tags.rows[m.ID], func(name string) []string {
				return []string{
					c.imageField(m, name)}
			})
	})
	slices.SortFunc(found, func(a, b *image) int { return cmp.Compare(a.ID, b.ID) })
	found, next, err := page(c, found, 1000, func(m *image) string { return m.ID })
	if err != nil {
		return nil, err
	}
	out := &describeImagesResponse{NextToken: next}
	for _, m := range found {
		item := imageItem{
			ID:          m.ID,
			Location:    m.Account + "/" + m.Name,
			State:       m.state(c.now),
			Owner:       ownerID(m.Account),
			Public:      m.Account == amazon,
			Arch:        m.Arch,
			Type:        "machine",
			Name:        m.Name,
			Description: m.Description,
			RootType:    "ebs",
			RootDevice:  rootDevice,
			Virtual:     "hvm",
			Hypervisor:  "xen",
			ENA:         true,
			Created:     stamp(m.Created),
			Platform:    m.product(),
			Source:      m.Source,
			Tags:        c.world.tagsOf(m.ID),
			Disks:       []ebsImage{{rootDevice, m.Snapshot, m.Size, true, "gp3"}},
		}
		if m.Account == amazon {
			item.Alias = amazon
		}
		out.Images = append(out.Images, item)
	}
	return out, nil
}

// ownedBy says whether an account is among the owners asked for; none asked for is any.
func (c *call) ownedBy(owners []string, account string) bool {
	return len(owners) == 0 || slices.ContainsFunc(owners, func(o string) bool {
		return o == account || o == ownerID(account) || o == "self" && account == c.account
	})
}

func ownerID(account string) string {
	if account == amazon {
		return "137112412989"
	}
	return account
}

func (c *call) imageField(m *image, name string) string {
	switch name {
	case "image-id":
		return m.ID
	case "name":
		return m.Name
	case "state":
		return m.state(c.now)
	case "architecture":
		return m.Arch
	case "owner-id":
		return ownerID(m.Account)
	case "owner-alias":
		return strings.TrimSuffix(m.Account, c.account)
	case "source-instance-id":
		return m.Source
	case "is-public":
		return strconv.FormatBool(m.Account == amazon)
	case "root-device-type":
		return "ebs"
	case "virtualization-type":
		return "hvm"
	case "block-device-mapping.snapshot-id":
		return m.Snapshot
	case "creation-date":
		return stamp(m.Created)
	default: // description
		return m.Description
	}
}
