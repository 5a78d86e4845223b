package ec2sim

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const maxTags = 50

type tag struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func (t tag) check() error {
	switch {
	case strings.HasPrefix(t.Key, "aws:"):
		return invalid("Tag keys starting with 'aws:' are reserved for internal use")
	case t.Key == "":
		return invalid("Tag key cannot be null or empty")
	case utf8.RuneCountInString(t.Key) > 127:
		return invalid("Tag key exceeds the maximum length of 127 characters")
	case utf8.RuneCountInString(t.Value) > 255:
		return invalid("Tag value exceeds the maximum length of 255 characters")
	}
	return nil
}

// tag lays tags over those of a resource.
func (w *world) tag(id string, tags []tag) {
	if len(tags) == 0 || id == "" {
		return
	}
	all := map[string]string{}
	maps.Copy(all, w.tags.rows[id])
	for _, t := range tags {
		all[t.Key] = t.Value
	}
	w.tags.put(id, all)
}

func (w *world) tagsOf(id string) []tag {
	var out []tag
	for _, key := range slices.Sorted(maps.Keys(w.tags.rows[id])) {
		out = append(out, tag{key, w.tags.rows[id][key]})
	}
	return out
}

// kind of a resource by its id, empty unless the caller owns it now.
func (c *call) kind(id string) string {
	w := c.world
	prefix, tail, _ := strings.Cut(id, "-")
	switch prefix {
	case "i", "vol", "eni":
		if i, ok := w.instances.rows["i-"+tail]; ok && c.mine(i) && i.described(c.now) {
			return map[string]string{"i": "instance", "vol": "volume", "eni": "network-interface"}[prefix]
		}
	case "sir":
		for _, i := range w.instances.rows {
			if i.SpotRequest == id && c.mine(i) {
				return "spot-instances-request"
			}
		}
	case "ami":
		if m, ok := w.images.rows[id]; ok && m.Account == c.account && m.Region == c.place.name {
			return "image"
		}
	case "snap":
		if s, ok := w.snapshots.rows[id]; ok && s.Account == c.account && s.Region == c.place.name {
			return "snapshot"
		}
	case "eipalloc":
		if a, ok := w.addresses.rows[id]; ok && a.Account == c.account && a.Region == c.place.name {
			return "elastic-ip"
		}
	case "sg":
		if g, ok := w.groups.rows[id]; ok && g.Account == c.account && g.Region == c.place.name {
			return "security-group"
		}
	}
	return ""
}

// resources returns ResourceId.N, all of which must be the caller's.
func (c *call) resources() ([]string, error) {
	ids := c.form.list("ResourceId")
	if len(ids) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter resourceIdSet")
	}
	for _, id := range ids {
		if c.kind(id) != "" {
			continue
		}
		if strings.HasPrefix(id, "i-") {
			return nil, fail("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", id)
		}
		return nil, fail("InvalidID", "The ID '%s' is not valid", id)
	}
	return ids, nil
}

func (c *call) createTags() (replier, error) {
	ids, err := c.resources()
	if err != nil {
		return nil, err
	}
	tags, err := c.form.pairs("Tag")
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, fail("MissingParameter", "The request must contain the parameter tagSet")
	}
	for _, id := range ids {
		all := maps.Clone(c.world.tags.rows[id])
		if all == nil {
			all = map[string]string{}
		}
		for _, t := range tags {
			all[t.Key] = t.Value
		}
		if len(all) > maxTags {
			return nil, fail("TagLimitExceeded", "The maximum number of Tags for resource %s has been reached.", id)
		}
	}
	for _, id := range ids {
		c.world.tag(id, tags)
	}
	return &done{Return: true}, nil
}

// deleteTags removes the named tags; one that is sent with a value, only if it has that value.
func (c *call) deleteTags() (replier, error) {
	ids, err := c.resources()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		all := maps.Clone(c.world.tags.rows[id])
		if !c.form.has("Tag.1.Key") {
			clear(all)
		}
		for n := 1; c.form.has("Tag." + strconv.Itoa(n) + ".Key"); n++ {
			at := "Tag." + strconv.Itoa(n)
			key := c.form.get(at + ".Key")
			if v, ok := all[key]; ok && (!c.form.has(at+".Value") || c.form.get(at+".Value") == v) {
				delete(all, key)
			}
		}
		c.world.tags.put(id, all)
	}
	return &done{Return: true}, nil
}

type tagDescription struct {
	Resource string `xml:"resourceId"`
	Kind     string `xml:"resourceType"`
	Key      string `xml:"key"`
	Value    string `xml:"value"`
}

type describeTagsResponse struct {
	reply
	Tags      []tagDescription `xml:"tagSet>item"`
	NextToken string           `xml:"nextToken,omitempty"`
}

func (c *call) describeTags() (replier, error) {
	filters, err := c.form.filters("resource-id", "resource-type", "key", "value")
	if err != nil {
		return nil, err
	}
	var all []tagDescription
	for _, id := range slices.Sorted(maps.Keys(c.world.tags.rows)) {
		kind := c.kind(id)
		if kind == "" {
			continue
		}
		for _, t := range c.world.tagsOf(id) {
			one := map[string]string{"resource-id": id, "resource-type": kind, "key": t.Key, "value": t.Value}
			if match(filters, map[string]string{t.Key: t.Value}, func(name string) []string {
				return []string{
					one[name]}
			}) {
				all = append(all, tagDescription{id, kind, t.Key, t.Value})
			}
		}
	}
	all, next, err := page(c, all, 1000, func(t tagDescription) string { return t.Resource + "\x00" + t.Key })
	if err != nil {
		return nil, err
	}
	return &describeTagsResponse{Tags: all, NextToken: next}, nil
}
