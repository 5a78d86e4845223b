package pages

import (
	"context"
	"maps"
	"slices"

	"spotkeeper/api/web"
	"spotkeeper/internal/postgres/views"
)

type savingsByTagRequest struct {
	ClientID string `json:"-" form:"client_id" binding:"max=64" doc:"only this client; a tenant reads its own"`
	Tag      string `json:"-" form:"tag" binding:"max=128" doc:"name of a tag; without one only the names of tags are listed"`
	Months   *int   `json:"-" form:"months" binding:"omitempty,min=1,max=120" doc:"12 by default, this month included"`
}

type savingsByTag struct {
	Tags   []tagKey   `json:"tags" doc:"the tags that instances of agents have now, the most common first; 100 at most"`
	Months []tagMonth `json:"months" doc:"newest first, then by what was saved"`
}

type tagKey struct {
	Tag    string `json:"tag" doc:"name of the tag" example:"team"`
	Agents int    `json:"agents" doc:"how many agents have it" example:"12"`
}

type tagMonth struct {
	Month       string  `json:"month" doc:"YYYY-MM" example:"2026-11"`
	Value       *string `json:"value" doc:"of the tag as the agent has it now; null: agents without it, and agents that are gone" example:"payments"`
	Currency    string  `json:"currency" doc:"of the amounts" example:"USD"`
	Agents      int     `json:"agents" doc:"how many agents" example:"12"`
	Baseline    float64 `json:"on_demand_cost" doc:"what the primaries' hours cost at on-demand prices"`
	Actual      float64 `json:"actual_cost" doc:"everything that ran"`
	Standbys    float64 `json:"standby_cost" doc:"of actual_cost for standbys and for two instances during moves"`
	Savings     float64 `json:"savings" doc:"negative when it was dearer"`
	Provisional bool    `json:"provisional" doc:"the month is not over"`
}

// savingsByTag sums the lines of months: see exportSavings.
func (c *Console) savingsByTag(ctx context.Context, in *savingsByTagRequest) (*savingsByTag, error) {
	client := ownClient(ctx, in.ClientID)
	keys, err := c.Views.TagKeys(ctx, client)
	tags, err := web.MapRows(keys, err, func(x views.TagKeyView) tagKey { return tagKey(x) })
	if err != nil || in.Tag == "" {
		return &savingsByTag{Tags: web.ValueOr(tags, []tagKey{}), Months: []tagMonth{}}, err
	}
	found, err := c.Views.SavingsByTag(ctx, client, in.Tag, web.ValueOr(in.Months, 12))
	months, err := web.MapRows(found, err, func(x views.TagMonthView) tagMonth {
		return tagMonth{
			Month:       x.Month,
			Value:       x.Value,
			Currency:    x.Currency,
			Agents:      x.Agents,
			Baseline:    x.Baseline,
			Actual:      x.Actual,
			Standbys:    x.Beside,
			Savings:     x.Savings,
			Provisional: x.Provisional,
		}
	})
	if err != nil {
		return nil, err
	}
	return &savingsByTag{Tags: *tags, Months: *months}, nil
}

type launchDescription struct {
	AgentID         string         `json:"agent_id"`
	InstanceID      *string        `json:"instance_id" doc:"the instance that was read; null: none was read yet"`
	ReadAt          *web.ExactTime `json:"read_at" doc:"when EC2 was asked last"`
	ChangedAt       *web.ExactTime `json:"changed_at" doc:"when EC2 said something else for the last time"`
	Revision        int            `json:"revision" doc:"how many different descriptions were read; 0: none" example:"1"`
	Image           string         `json:"image_id" doc:"image that replacements are launched from" example:"ami-0abcdef1234567890"`
	Product         string         `json:"product" doc:"as the price list names it; empty: not known" example:"Linux/UNIX"`
	KeyName         string         `json:"key_name" doc:"of the SSH key; empty: none" example:"ops"`
	InstanceProfile string         `json:"instance_profile_arn" doc:"role of the instance; empty: none" example:"arn:aws:iam::111122223333:instance-profile/web"`
	UserData        string         `json:"user_data" enum:"copied hidden none" doc:"copied; hidden: it may not be read, and a replacement starts without it; none: there is none"`
	SecurityGroups  []string       `json:"security_group_ids" doc:"of the network"`
	Zones           []string       `json:"zones" doc:"Availability Zones with a subnet of the same network"`
	Volumes         []volumeItem   `json:"volumes" doc:"that a replacement has too; each begins as its image or its snapshot"`
	Tags            []tagItem      `json:"tags" doc:"without those of AWS and of Spotkeeper, by name"`
	Lacks           []string       `json:"lacks" doc:"what a replacement cannot have, in words"`
	Unread          []string       `json:"unread" doc:"what could not be read, for want of a permission as a rule"`
}

type volumeItem struct {
	Device     string  `json:"device" doc:"name of the device" example:"/dev/xvda"`
	GiB        int     `json:"gib" doc:"its size" example:"8"`
	Type       string  `json:"type" doc:"type of the volume; empty: the image decides" example:"gp3"`
	Encrypted  bool    `json:"encrypted" doc:"whether it is encrypted"`
	Outlives   bool    `json:"outlives_instance" doc:"whether it stays when its instance ends"`
	SnapshotID *string `json:"snapshot_id" doc:"that it begins as; null: the image decides" example:"snap-0123456789abcdef0"`
}

type tagItem struct {
	Key   string `json:"key" doc:"name of the tag" example:"team"`
	Value string `json:"value" doc:"of the tag" example:"payments"`
}

// description says what follows an agent to its next instance.
func (c *Console) description(ctx context.Context, in *web.AgentPath) (*launchDescription, error) {
	x, err := c.Views.LaunchDescription(ctx, web.TenantScope(ctx), in.AgentID)
	if err != nil {
		return nil, err
	}
	out := &launchDescription{
		AgentID:         in.AgentID,
		InstanceID:      x.InstanceID,
		ReadAt:          web.NewExactTime(x.ReadAt),
		ChangedAt:       web.NewExactTime(x.ChangedAt),
		Revision:        web.ValueOr(x.Revision, 0),
		Image:           x.Image,
		Product:         x.Product,
		KeyName:         x.KeyName,
		InstanceProfile: x.InstanceProfile,
		UserData:        x.UserData,
		SecurityGroups:  x.SecurityGroups,
		Zones:           x.Zones,
		Volumes:         []volumeItem{},
		Tags:            []tagItem{},
		Lacks:           x.Lacks,
		Unread:          x.Unread,
	}
	for _, v := range x.Volumes {
		out.Volumes = append(out.Volumes, volumeItem{
			Device: v.Device, GiB: v.GiB, Type: v.Type, Encrypted: v.Encrypted, Outlives: v.Keep,
			SnapshotID: web.NilIfEmpty(v.SnapshotID),
		})
	}
	for _, key := range slices.Sorted(maps.Keys(x.Tags)) {
		out.Tags = append(out.Tags, tagItem{Key: key, Value: x.Tags[key]})
	}
	return out, nil
}
