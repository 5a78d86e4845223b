package ec2sim

import (
	"encoding/json"
	"net/http"
)

// Names of the quotas that limits of an account are shown as. AWS has a hundred more.
const (
	spotQuota   = "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests"
	demandQuota = "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
)

// generousQuota is what an account has whose quota was not set.
const generousQuota = 4096

type quotaList struct {
	Quotas    []shownQuota
	NextToken *string `json:",omitempty"`
}

type shownQuota struct {
	ServiceCode, QuotaCode, QuotaName string
	Value                             float64
	Adjustable                        bool
}

// listQuotas answers ListServiceQuotas for EC2, one quota to a page so that callers page.
func (s *Server) listQuotas(c *call, r *http.Request) (*quotaList, error) {
	var q struct{ ServiceCode, NextToken string }
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		return nil, fail("SerializationException", "The request cannot be read: %v", err)
	}
	if q.ServiceCode != "ec2" {
		return nil, &apiError{"NoSuchResourceException", "There is no service " + q.ServiceCode + ".", http.StatusBadRequest}
	}
	var out quotaList
	_, err := s.perform(r.Context(), c, func(c *call) (replier, error) {
		set := c.world.set().Quotas[c.account+"/"+c.place.name]
		spot, demand := float64(generousQuota), float64(generousQuota)
		if set.SpotVCPUs != nil && *set.SpotVCPUs >= 0 {
			spot = float64(*set.SpotVCPUs)
		}
		if set.VCPUs != nil && *set.VCPUs >= 0 {
			demand = float64(*set.VCPUs)
		}
		next := "2"
		out = quotaList{[]shownQuota{{"ec2", "L-34B43A08", spotQuota, spot, true}}, &next}
		if q.NextToken == next {
			out = quotaList{[]shownQuota{{"ec2", "L-1216C47A", demandQuota, demand, true}}, nil}
		}
		return nil, nil
	})
	return &out, err
}
