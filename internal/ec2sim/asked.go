package ec2sim

import (
	"slices"
	"strconv"
	"strings"
)

// kept are the parameters of RunInstances that an instance is described with later.
var kept = []string{
	"CreditSpecification.", "Monitoring.", "MetadataOptions.", "Placement.Tenancy", "Placement.GroupName",
	"Placement.PartitionNumber",
	"DisableApiTermination", "DisableApiStop",
	"InstanceInitiatedShutdownBehavior", "EbsOptimized", "MaintenanceOptions.", "CpuOptions.", "EnclaveOptions.",
	"HibernationOptions.", "Placement.HostId", "CapacityReservationSpecification.",
}

// keepAsked keeps them.
func (f form) keepAsked() map[string]string {
	out := map[string]string{}
	for name := range f {
		if slices.ContainsFunc(kept, func(k string) bool { return strings.HasPrefix(name, k) }) {
			out[name] = f.get(name)
		}
	}
	return out
}

// asked is what was asked for under a name, or the default.
func (i *instance) asked(name, absent string) string {
	if v, ok := i.Asked[name]; ok {
		return v
	}
	return absent
}

// dataDisk is a volume besides the root.
type dataDisk struct {
	Device string `json:"device"`
	ID     string `json:"id"`
	disk
}

// readMapping reads one block device mapping into a disk.
func (f form) readMapping(at string, d *disk) error {
	size, err := f.number(at+"Ebs.VolumeSize", d.Size)
	if err != nil {
		return err
	}
	if size < d.Size {
		return fail("InvalidBlockDeviceMapping", "Volume of size %dGB is smaller than snapshot, expect size >= %dGB",
			size, d.Size)
	}
	d.Size, d.Keep = size, f.get(at+"Ebs.DeleteOnTermination") == "false"
	if kind := f.get(at + "Ebs.VolumeType"); kind != "" {
		d.Kind = kind
	}
	if d.IOPS, err = f.number(at+"Ebs.Iops", d.IOPS); err != nil {
		return err
	}
	if d.Throughput, err = f.number(at+"Ebs.Throughput", d.Throughput); err != nil {
		return err
	}
	if d.IOPS > 0 && !slices.Contains([]string{"gp3", "io1", "io2"}, d.Kind) {
		return fail("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", d.Kind)
	}
	d.Encrypted, d.Key, d.Snapshot = f.get(at+"Ebs.Encrypted") == "true", f.get(at+"Ebs.KmsKeyId"), f.get(
		at+"Ebs.SnapshotId")
	if d.Key != "" && !d.Encrypted {
		return fail("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted to be set.")
	}
	return nil
}

// readDisks reads the mappings of a launch: the root device's and those of data volumes.
func (c *call) readDisks(o *order) error {
	for n := 1; c.form.anyUnder("BlockDeviceMapping." + strconv.Itoa(n)); n++ {
		at := "BlockDeviceMapping." + strconv.Itoa(n) + "."
		device := c.form.get(at + "DeviceName")
		if device == rootDevice {
			if err := c.form.readMapping(at, &o.disk); err != nil {
				return err
			}
			continue
		}
		data := dataDisk{Device: device, disk: disk{Kind: "gp2"}}
		if err := c.form.readMapping(at, &data.disk); err != nil {
			return err
		}
		o.data = append(o.data, data)
	}
	return nil
}

// deadKey is the state reason of an instance whose volume has a key that is disabled,
// empty when all its keys work.
func (c *call) deadKey(o order) string {
	for _, d := range append([]disk{o.disk}, disksOf(o.data)...) {
		if state, known := c.world.set().Keys[d.Key]; known && state != "Enabled" {
			return "Client.InvalidKMSKey.InvalidState"
		}
	}
	return ""
}

func disksOf(data []dataDisk) (out []disk) {
	for _, d := range data {
		out = append(out, d.disk)
	}
	return out
}

type creditItem struct {
	Instance string `xml:"instanceId"`
	Credits  string `xml:"cpuCredits"`
}

type describeCreditsResponse struct {
	reply
	Items []creditItem `xml:"instanceCreditSpecificationSet>item"`
}

// describeInstanceCreditSpecifications shows burstable instances; t2 is standard by
// default, the later ones are unlimited.
func (c *call) describeInstanceCreditSpecifications() (replier, error) {
	found, err := c.lookUp(c.form.list("InstanceId"))
	if err != nil {
		return nil, err
	}
	out := &describeCreditsResponse{}
	for _, i := range found {
		if i.Type[0] == 't' {
			out.Items = append(out.Items, creditItem{i.ID, i.asked("CreditSpecification.CpuCredits", "unlimited")})
		}
	}
	return out, nil
}

// modifyInstanceAttribute changes the source/destination check and the user data's like.
func (c *call) modifyInstanceAttribute() (replier, error) {
	found, err := c.lookUp([]string{c.form.get("InstanceId")})
	if err != nil {
		return nil, err
	}
	i := found[0]
	for _, name := range []string{"SourceDestCheck", "DisableApiTermination", "DisableApiStop",
		"InstanceInitiatedShutdownBehavior"} {
		if c.form.has(name + ".Value") {
			if i.Asked == nil {
				i.Asked = map[string]string{}
			}
			i.Asked[name] = c.form.get(name + ".Value")
			c.world.instances.touch(i.ID)
		}
	}
	return &done{Return: true}, nil
}

type keyItem struct {
	Name string `xml:"keyName"`
	ID   string `xml:"keyPairId"`
}

type keyPairsResponse struct {
	reply
	Keys []keyItem `xml:"keySet>item"`
}

type keyPairResponse struct {
	reply
	keyItem
}

func (c *call) keyPair(name string) string { return c.account + "/" + c.place.name + "/" + name }

func (c *call) createKeyPair() (replier, error) {
	name := c.form.get("KeyName")
	if name == "" {
		return nil, fail("MissingParameter", "The request must contain the parameter KeyName")
	}
	s := c.world.changeSettings()
	if s.KeyPairs == nil {
		s.KeyPairs = map[string]bool{}
	}
	s.KeyPairs[c.keyPair(name)] = true
	return &keyPairResponse{keyItem: keyItem{name, derived("key", c.keyPair(name))}}, nil
}

func (c *call) deleteKeyPair() (replier, error) {
	c.world.changeSettings().KeyPairs[c.keyPair(c.form.get("KeyName"))] = false
	return &done{Return: true}, nil
}

// hasKeyPair: a key pair exists unless it was deleted.
func (c *call) hasKeyPair(name string) bool {
	exists, known := c.world.set().KeyPairs[c.keyPair(name)]
	return exists || !known
}

func (c *call) describeKeyPairs() (replier, error) {
	out := &keyPairsResponse{}
	for _, name := range c.form.list("KeyName") {
		if !c.hasKeyPair(name) {
			return nil, fail("InvalidKeyPair.NotFound", "The key pair '%s' does not exist", name)
		}
		out.Keys = append(out.Keys, keyItem{name, derived("key", c.keyPair(name))})
	}
	return out, nil
}
