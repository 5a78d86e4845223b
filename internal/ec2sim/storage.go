package ec2sim

import (
	"slices"
	"strings"
	"time"
)

// snapshot of a root volume.
type snapshot struct {
	ID          string    `json:"id"`
	Account     string    `json:"account"`
	Region      string    `json:"region"`
	Volume      string    `json:"volume"`
	Size        int       `json:"size"`
	Description string    `json:"description,omitempty"`
	Started     time.Time `json:"started"`
	Completed   time.Time `json:"completed"`
}

func (s *snapshot) state(now time.Time) string {
	if now.Before(s.Completed) {
		return "pending"
	}
	return "completed"
}

func (c *call) snap(i *instance, description string) *snapshot {
	s := &snapshot{
		ID: "snap-0" + suffix(16), Account: c.account, Region: c.place.name, Volume: i.volume(), Size: i.Disk.Size,
		Description: description, Started: c.now, Completed: c.now.Add(seconds(c.world.set().Delays.Image)),
	}
	c.world.snapshots.put(s.ID, s)
	return s
}

type snapshotItem struct {
	ID          string `xml:"snapshotId"`
	Volume      string `xml:"volumeId"`
	State       string `xml:"status"`
	Started     string `xml:"startTime"`
	Progress    string `xml:"progress"`
	Owner       string `xml:"ownerId"`
	Size        int    `xml:"volumeSize"`
	Description string `xml:"description"`
	Tags        []tag  `xml:"tagSet>item"`
}

func (c *call) snapshotItem(s *snapshot) snapshotItem {
	progress := "100%"
	if s.state(c.now) == "pending" {
		progress = "50%"
	}
	return snapshotItem{s.ID, s.Volume, s.state(c.now), stamp(s.Started), progress, s.Account, s.Size, s.Description,
		c.world.tagsOf(s.ID)}
}

type createSnapshotResponse struct {
	reply
	snapshotItem
}

func (c *call) createSnapshot() (replier, error) {
	i, ok := c.volumeOwner(c.form.get("VolumeId"))
	if !ok {
		return nil, noVolume(c.form.get("VolumeId"))
	}
	tags, err := c.form.tagSpecifications("snapshot")
	if err != nil {
		return nil, err
	}
	s := c.snap(i, c.form.get("Description"))
	c.world.tag(s.ID, tags["snapshot"])
	return &createSnapshotResponse{snapshotItem: c.snapshotItem(s)}, nil
}

type describeSnapshotsResponse struct {
	reply
	Snapshots []snapshotItem `xml:"snapshotSet>item"`
	NextToken string         `xml:"nextToken,omitempty"`
}

func (c *call) describeSnapshots() (replier, error) {
	filters, err := c.form.filters("snapshot-id", "volume-id", "status", "description", "owner-id")
	if err != nil {
		return nil, err
	}
	ids, owners := c.form.list("SnapshotId"), c.form.list("Owner")
	for _, id := range ids {
		if c.kind(id) != "snapshot" {
			return nil, noSnapshot(id)
		}
	}
	found := c.world.snapshots.sorted(func(s *snapshot) bool {
		return s.Account == c.account && s.Region == c.place.name && c.ownedBy(owners, s.Account) &&
			(len(ids) == 0 || slices.Contains(ids, s.ID)) &&
			match(filters, c.world.tags.rows[s.ID], func(name string) []string {
				return []string{map[string]string{
					"snapshot-id": s.ID,
					"volume-id":   s.Volume,
					"status":      s.state(c.now),
					"description": s.Description,
					"owner-id":    s.Account,
				}[name]}
			})
	})
	found, next, err := page(c, found, 1000, func(s *snapshot) string { return s.ID })
	if err != nil {
		return nil, err
	}
	out := &describeSnapshotsResponse{NextToken: next}
	for _, s := range found {
		out.Snapshots = append(out.Snapshots, c.snapshotItem(s))
	}
	return out, nil
}

func noSnapshot(id string) error {
	return fail("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
}

func (c *call) deleteSnapshot() (replier, error) {
	id := c.form.get("SnapshotId")
	if c.kind(id) != "snapshot" {
		return nil, noSnapshot(id)
	}
	for _, m := range c.world.images.rows {
		if m.Snapshot == id {
			return nil, fail("InvalidSnapshot.InUse", "The snapshot %s is currently in use by %s", id, m.ID)
		}
	}
	c.world.snapshots.drop(id)
	c.world.tags.drop(id)
	return &done{Return: true}, nil
}

// volumeOwner finds the instance whose root volume this is, while the volume exists.
func (c *call) volumeOwner(id string) (*instance, bool) {
	i, ok := c.world.instances.rows["i-"+strings.TrimPrefix(id, "vol-")]
	if !ok || !c.mine(i) || i.Disk.Deleted || !i.Disk.Keep && i.state(c.now) == terminated {
		return nil, false
	}
	return i, true
}

func noVolume(id string) error {
	return fail("InvalidVolume.NotFound", "The volume '%s' does not exist.", id)
}

type attachmentItem struct {
	Volume   string `xml:"volumeId"`
	Instance string `xml:"instanceId"`
	Device   string `xml:"device"`
	Status   string `xml:"status"`
	At       string `xml:"attachTime"`
	Delete   bool   `xml:"deleteOnTermination"`
}

type volumeItem struct {
	ID          string           `xml:"volumeId"`
	Size        int              `xml:"size"`
	Zone        string           `xml:"availabilityZone"`
	Status      string           `xml:"status"`
	Created     string           `xml:"createTime"`
	Kind        string           `xml:"volumeType"`
	Attachments []attachmentItem `xml:"attachmentSet>item"`
	Tags        []tag            `xml:"tagSet>item"`
	IOPS        int              `xml:"iops,omitempty"`
	Throughput  int              `xml:"throughput,omitempty"`
	Encrypted   bool             `xml:"encrypted"`
	Key         string           `xml:"kmsKeyId,omitempty"`
	Snapshot    string           `xml:"snapshotId,omitempty"`
}

// describedDisk is a volume with what a launch asked for.
func (v volumeItem) describedDisk(d disk) volumeItem {
	v.IOPS, v.Throughput, v.Encrypted, v.Key, v.Snapshot = d.IOPS, d.Throughput, d.Encrypted, d.Key, d.Snapshot
	return v
}

type describeVolumesResponse struct {
	reply
	Volumes   []volumeItem `xml:"volumeSet>item"`
	NextToken string       `xml:"nextToken,omitempty"`
}

// describeVolumes shows root volumes, and the data volumes of instances that live.
func (c *call) describeVolumes() (replier, error) {
	filters, err := c.form.filters("volume-id", "status", "attachment.instance-id", "availability-zone",
		"attachment.device")
	if err != nil {
		return nil, err
	}
	ids := c.form.list("VolumeId")
	for _, id := range ids {
		if _, ok := c.volumeOwner(id); !ok {
			return nil, noVolume(id)
		}
	}
	found := c.world.instances.sorted(func(i *instance) bool {
		_, exists := c.volumeOwner(i.volume())
		return exists && (len(ids) == 0 || slices.Contains(ids, i.volume())) &&
			match(filters, c.world.tags.rows[i.volume()], func(name string) []string {
				attached, at, device := i.ID, "in-use", rootDevice
				if i.state(c.now) == terminated {
					attached, at, device = "", "available", ""
				}
				return []string{map[string]string{
					"volume-id":              i.volume(),
					"status":                 at,
					"attachment.instance-id": attached,
					"availability-zone":      i.Zone,
					"attachment.device":      device,
				}[name]}
			})
	})
	found, next, err := page(c, found, 1000, func(i *instance) string { return i.ID })
	if err != nil {
		return nil, err
	}
	out := &describeVolumesResponse{NextToken: next}
	for _, i := range found {
		v := volumeItem{
			ID:      i.volume(),
			Size:    i.Disk.Size,
			Zone:    i.Zone,
			Status:  "available",
			Created: stamp(i.Launched),
			Kind:    i.Disk.Kind,
			Tags:    c.world.tagsOf(i.volume()),
		}
		if i.state(c.now) != terminated {
			v.Status = "in-use"
			v.Attachments = []attachmentItem{
				{i.volume(), i.ID, rootDevice, "attached", stamp(i.Launched), !i.Disk.Keep}}
		}
		out.Volumes = append(out.Volumes, v.describedDisk(i.Disk))
		if i.state(c.now) == terminated || len(ids) > 0 {
			continue
		}
		for _, d := range i.Data {
			data := volumeItem{
				ID:          d.ID,
				Size:        d.Size,
				Zone:        i.Zone,
				Status:      "in-use",
				Created:     stamp(i.Launched),
				Kind:        d.Kind,
				Attachments: []attachmentItem{{d.ID, i.ID, d.Device, "attached", stamp(i.Launched), !d.Keep}},
			}
			out.Volumes = append(out.Volumes, data.describedDisk(d.disk))
		}
	}
	return out, nil
}

func (c *call) deleteVolume() (replier, error) {
	i, ok := c.volumeOwner(c.form.get("VolumeId"))
	if !ok {
		return nil, noVolume(c.form.get("VolumeId"))
	}
	if i.state(c.now) != terminated {
		return nil, fail("VolumeInUse", "Volume %s is currently attached to %s", i.volume(), i.ID)
	}
	i.Disk.Deleted = true
	c.world.instances.touch(i.ID)
	return &done{Return: true}, nil
}
