package ec2sim

import (
	"encoding/json"
	"time"

	"spotkeeper/internal/ec2sim/client"
)

// announced is what the queue has already sent about an instance.
type announced struct {
	state     string
	rebalance bool
	notice    bool
}

// event is one of EventBridge. Its shapes are those of AWS's documentation, "Amazon EC2
// instance state change events", "EC2 Spot Instance interruption notices" and
// "EC2 instance rebalance recommendations".
type event struct {
	Version    string         `json:"version"`
	ID         string         `json:"id"`
	DetailType string         `json:"detail-type"`
	Source     string         `json:"source"`
	Account    string         `json:"account"`
	Time       string         `json:"time"`
	Region     string         `json:"region"`
	Resources  []string       `json:"resources"`
	Detail     map[string]any `json:"detail"`
}

// announce puts into the queue what has happened to instances since the last time. The
// first time it only learns how they are.
func (s *Server) announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if real := s.opts.Now(); real.Sub(s.lookedAt) < queueLook/2 {
		return
	}
	s.lookedAt = s.opts.Now()
	now, first := s.world.now(), s.announced == nil
	if first {
		s.announced = map[string]announced{}
	}
	for id := range s.announced {
		if _, ok := s.world.instances.rows[id]; !ok {
			delete(s.announced, id)
		}
	}
	for id, i := range s.world.instances.rows {
		was, is := s.announced[id], announcedAt(i, now)
		if was == is {
			continue
		}
		s.announced[id] = is
		if !first && !s.silent {
			s.sendChanges(i, was, is, now)
		}
	}
}

func announcedAt(i *instance, now time.Time) announced {
	return announced{
		state:     i.state(now),
		rebalance: reached(i.Rebalance, now),
		notice:    reached(i.Notice, now) && i.Behaviour != "hibernate",
	}
}

func (s *Server) sendChanges(i *instance, was, is announced, now time.Time) {
	id := map[string]any{"instance-id": i.ID}
	// The place of these two is the zone, and the account is left out; AWS does so.
	inZone := "arn:aws:ec2:" + i.Zone + ":instance/" + i.ID
	if is.rebalance && !was.rebalance {
		s.sendEvent(i, "EC2 Instance Rebalance Recommendation", inZone, id, i.Rebalance)
	}
	if is.notice && !was.notice {
		s.sendEvent(i, "EC2 Spot Instance Interruption Warning", inZone,
			map[string]any{"instance-id": i.ID, "instance-action": i.Behaviour}, i.Notice)
	}
	if is.state != was.state {
		s.sendEvent(i, "EC2 Instance State-change Notification",
			"arn:aws:ec2:"+i.Region+":"+i.Account+":instance/"+i.ID,
			map[string]any{"instance-id": i.ID, "state": is.state}, now)
	}
}

func (s *Server) sendEvent(i *instance, kind, resource string, detail map[string]any, at time.Time) {
	body, err := json.Marshal(event{
		Version: "0", ID: requestID(), DetailType: kind, Source: "aws.ec2", Account: i.Account,
		Time: at.UTC().Format(time.RFC3339), Region: i.Region, Resources: []string{resource}, Detail: detail,
	})
	if err != nil {
		s.opts.Logger.Error("an event was not written", "error", err)
		return
	}
	s.queue.send(string(body), s.opts.Now())
}

// postAnnouncements switches the events off and on.
func (s *Server) postAnnouncements(in client.Announcements) (any, error) {
	s.silent = in.Off
	return nothing{}, nil
}
