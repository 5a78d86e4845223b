package iac_test

import (
	"net/http"
)

// unsigned sends requests as the owner of an account, whom the gate lets through: it marks
// them for the simulator's accounts but not as IAM's.
type unsigned struct{}

// Do implements aws.HTTPClient.
func (unsigned) Do(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-Owner", "1")
	return http.DefaultTransport.RoundTrip(r)
}
