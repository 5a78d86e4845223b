package ec2sim

import (
	"strconv"
	"strings"
)

// launchTemplate is a launch template with its versions, each the parameters of a launch.
type launchTemplate struct {
	ID       string              `json:"id"`
	Account  string              `json:"account"`
	Region   string              `json:"region"`
	Name     string              `json:"name"`
	Versions []map[string]string `json:"versions"`
}

type launchTemplateResponse struct {
	reply
	ID      string `xml:"launchTemplate>launchTemplateId"`
	Name    string `xml:"launchTemplate>launchTemplateName"`
	Latest  int    `xml:"launchTemplate>latestVersionNumber"`
	Default int    `xml:"launchTemplate>defaultVersionNumber"`
}

func (c *call) createLaunchTemplate() (replier, error) {
	t := &launchTemplate{
		ID:       "lt-0" + suffix(16),
		Account:  c.account,
		Region:   c.place.name,
		Name:     c.form.get("LaunchTemplateName"),
		Versions: []map[string]string{{}},
	}
	const at = "LaunchTemplateData."
	for name := range c.form {
		if rest, ok := strings.CutPrefix(name, at); ok {
			t.Versions[0][rest] = c.form.get(name)
		}
	}
	c.world.templates.put(t.ID, t)
	return &launchTemplateResponse{ID: t.ID, Name: t.Name, Latest: 1, Default: 1}, nil
}

// expandTemplate fills the request with what its launch template says and it does not. It
// returns the template's id and version, which EC2 notes in tags.
func (c *call) expandTemplate() (id, version string, err error) {
	if !c.form.anyUnder("LaunchTemplate") {
		return "", "", nil
	}
	id, version = c.form.get("LaunchTemplate.LaunchTemplateId"), c.form.get("LaunchTemplate.Version")
	t, ok := c.world.templates.rows[id]
	if !ok || t.Account != c.account || t.Region != c.place.name {
		return "", "", fail("InvalidLaunchTemplateId.NotFound",
			"The specified launch template, with template ID %s, does not exist.", id)
	}
	n := len(t.Versions)
	if version != "" && version != "$Latest" && version != "$Default" {
		if n, err = strconv.Atoi(version); err != nil || n < 1 || n > len(t.Versions) {
			return "", "", fail("InvalidLaunchTemplateId.VersionNotFound",
				"Could not find the launch template version %s.", version)
		}
	}
	for name, value := range t.Versions[n-1] {
		first, _, _ := strings.Cut(name, ".")
		if !c.form.anyUnder(first) && !c.form.has(name) {
			c.form[name] = []string{value}
		}
	}
	return id, strconv.Itoa(n), nil
}
