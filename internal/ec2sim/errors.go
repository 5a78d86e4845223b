package ec2sim

import (
	"fmt"
	"net/http"

	"spotkeeper/internal/ec2sim/client"
)

// apiError is a refusal as the SDK decodes it: a code, a sentence, a status.
type apiError struct {
	Code    string
	Message string
	Status  int
}

// Error returns the code and the sentence.
func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// statuses holds the codes that are not the caller's fault, and the few of the
// caller's that are not a plain 400.
var statuses = map[string]int{
	"InsufficientInstanceCapacity": http.StatusInternalServerError,
	"InsufficientHostCapacity":     http.StatusInternalServerError,
	"InternalError":                http.StatusInternalServerError,
	"InternalFailure":              http.StatusInternalServerError,
	"RequestLimitExceeded":         http.StatusServiceUnavailable,
	"ServiceUnavailable":           http.StatusServiceUnavailable,
	"Unavailable":                  http.StatusServiceUnavailable,
	"UnauthorizedOperation":        http.StatusForbidden,
	"AccessDenied":                 http.StatusForbidden,
	"AuthFailure":                  http.StatusUnauthorized,
	"DryRunOperation":              http.StatusPreconditionFailed,
}

// sentences are the messages of codes that faults name without one.
var sentences = map[string]string{
	"InsufficientInstanceCapacity":      "We currently do not have sufficient capacity in the Availability Zone you requested. Our system will be working on provisioning additional capacity.",
	"RequestLimitExceeded":              "Request limit exceeded.",
	"UnauthorizedOperation":             "You are not authorized to perform this operation.",
	"MaxSpotInstanceCountExceeded":      "Max spot instance count exceeded",
	"VcpuLimitExceeded":                 "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket that the specified instance type belongs to.",
	"InsufficientFreeAddressesInSubnet": "There are not enough free addresses in the subnet to satisfy the requested number of instances.",
	"InternalError":                     "An internal error has occurred",
}

func status(code string) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusBadRequest
}

func fail(code, format string, args ...any) error {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...), Status: status(code)}
}

func invalid(format string, args ...any) error {
	return fail("InvalidParameterValue", format, args...)
}

// failureOf is the error that a fault's code stands for.
func failureOf(f *client.Fault) error {
	e := &apiError{Code: f.Code, Message: f.Message, Status: f.Status}
	if e.Code == "" {
		e.Code = "InternalError"
	}
	if e.Message == "" {
		e.Message = sentences[e.Code]
	}
	if e.Message == "" {
		e.Message = "The simulator was told to answer " + e.Code + "."
	}
	if e.Status == 0 {
		e.Status = status(e.Code)
	}
	return e
}
