package outbound

import (
	"errors"
	"fmt"
	"time"
)

// DeniedError is a request that the policy refuses. Nothing was sent, except for the lookup if Address is set.
type DeniedError struct {
	Target  string // scheme, host and port; no path, as paths carry secrets
	Address string // the address that was refused, if a name resolved to it
	Rule    string
	Reason  string
}

func (e *DeniedError) Error() string {
	return fmt.Sprintf("request to %s denied by %s: %s", e.Target, e.Rule, e.Reason)
}

// LimitError is an amount of the job that is spent.
type LimitError struct {
	Limit string // the RunOption field, or a name of Limits
	Max   int64
}

func (e *LimitError) Error() string { return fmt.Sprintf("%s of %d is spent", e.Limit, e.Max) }

// TimeoutError is one of the client's own timeouts, not the job's.
type TimeoutError struct {
	Phase string // PhaseConnect, PhaseFirstByte or PhaseBetweenBytes
	After time.Duration
}

func (e *TimeoutError) Error() string { return fmt.Sprintf("%s timeout after %v", e.Phase, e.After) }

// Timeout makes it a net.Error in spirit.
func (e *TimeoutError) Timeout() bool { return true }

// RequestError is a request that cannot be sent as it is.
type RequestError struct {
	Part    string // method, header, body or URL
	Problem string
}

func (e *RequestError) Error() string { return e.Part + " " + e.Problem }

// Phases of a TimeoutError.
const (
	PhaseConnect      = "connect"
	PhaseFirstByte    = "first byte"
	PhaseBetweenBytes = "between bytes"
)

// ErrClosed is the error of every request after Close, and of those that Close ended.
var ErrClosed = errors.New("outbound client is closed")

// ErrProtocol is a response that makes no sense as an answer, such as a switch of protocols.
var ErrProtocol = errors.New("response breaks the protocol")

// Names of limits in LimitError and Denial.
const (
	LimitRequests   = "max_outbound_requests"
	LimitBytes      = "max_outbound_bytes"
	LimitBytesUp    = "max_outbound_bytes (sent)"
	LimitBytesDown  = "max_outbound_bytes (received)"
	LimitConcurrent = "concurrent requests"
	LimitRedirects  = "redirects"
	LimitHeader     = "response header bytes"
)
