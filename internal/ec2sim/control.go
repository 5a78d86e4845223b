package ec2sim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// routes is the control API. It is documented in doc.go.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sim/state", s.getState)
	mux.HandleFunc("GET /_sim/counts", s.getCounts)
	mux.HandleFunc("GET /_sim/clock", s.getClock)
	mux.HandleFunc("GET /_sim/imds/{instance_id}", s.getMetadata)
	mux.HandleFunc("GET /_sim/imds/{instance_id}/latest/{path...}", s.getMetadataText)
	mux.HandleFunc("GET /_sim/identity-certificate", s.getIdentityCertificate)
	mux.HandleFunc("PUT /_sim/imds/{instance_id}/latest/api/token", s.putMetadataToken)
	mux.HandleFunc("POST /_sim/capacity", post(s, s.postCapacity))
	mux.HandleFunc("POST /_sim/quota", post(s, s.postQuota))
	mux.HandleFunc("POST /_sim/fault", post(s, s.postFault))
	mux.HandleFunc("DELETE /_sim/fault", post(s, s.deleteFaults))
	mux.HandleFunc("POST /_sim/throttle", post(s, s.postThrottle))
	mux.HandleFunc("POST /_sim/delays", s.postDelays)
	mux.HandleFunc("POST /_sim/clock", post(s, s.postClock))
	mux.HandleFunc("POST /_sim/interrupt", post(s, s.postInterrupt))
	mux.HandleFunc("POST /_sim/hazard", post(s, s.postHazard))
	mux.HandleFunc("POST /_sim/price", post(s, s.postPrice))
	mux.HandleFunc("POST /_sim/events", post(s, s.postAnnouncements))
	mux.HandleFunc("POST /_sim/impair", post(s, s.postImpair))
	mux.HandleFunc("POST /_sim/role", post(s, s.postRole))
	mux.HandleFunc("POST /_sim/revoke", post(s, s.postRevoke))
	mux.HandleFunc("POST /_sim/subnet", post(s, s.postSubnet))
	mux.HandleFunc("POST /_sim/key", post(s, s.postKey))
	mux.HandleFunc("POST /_sim/policy", post(s, s.postPolicy))
	mux.HandleFunc("POST /_sim/spot-role", post(s, s.postSpotRole))
	mux.HandleFunc("POST /_sim/place", post(s, s.postPlace))
	mux.HandleFunc("POST /_sim/show", post(s, s.postShow))
	mux.HandleFunc("POST /_sim/reset", post(s, s.postReset))
	mux.HandleFunc("POST /_sim/save", s.postSave)
	mux.HandleFunc("/_sim/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, nil, &apiError{"NoRoute", "The simulator has no " + r.Method + " " + r.URL.Path + ".",
			http.StatusNotFound})
	})
	return mux
}

// nothing is the body or the answer of a route that has none.
type nothing struct{}

// post makes a route of a function that changes the world: one JSON object in, one out.
func post[In any](s *Server, do func(In) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decode(r, &in); err != nil {
			writeJSON(w, nil, err)
			return
		}
		out, err := s.locked(func() (any, error) { return do(in) })
		writeJSON(w, out, err)
	}
}

// decode reads one JSON object; no body is an empty one.
func decode(r *http.Request, into any) error {
	in := json.NewDecoder(r.Body)
	in.DisallowUnknownFields()
	if err := in.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		return invalid("The body is not what this route takes: %v.", err)
	}
	return nil
}

// locked runs a change of the world and makes it durable.
func (s *Server) locked(do func() (any, error)) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out, err := do()
	if lost := s.flush(); lost != nil {
		return nil, lost
	}
	return out, err
}

func writeJSON(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{"InternalError", err.Error(), http.StatusInternalServerError}
		}
		code, v = e.Status, map[string]string{"error": e.Message, "code": "ec2sim." + e.Code}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the caller may be gone
}
