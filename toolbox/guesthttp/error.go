package guesthttp

// Error is a wasi:http/types.error-code: why the host gave no response, or not all of it.
type Error struct {
	Code string // the case's name in the interface, such as connection-refused
}

func (e *Error) Error() string {
	if hint := hints[e.Code]; hint != "" {
		return e.Code + ": " + hint
	}
	return e.Code
}

// Timeout makes the error one for net/http's timeouts too.
func (e *Error) Timeout() bool {
	switch e.Code {
	case "DNS-timeout", "connection-timeout", "connection-read-timeout", "connection-write-timeout", "HTTP-response-timeout":
		return true
	}
	return false
}

var hints = map[string]string{
	"HTTP-request-denied":       "the job may not reach this host; see allowed_outbound_hosts and block_url",
	"destination-IP-prohibited": "the host's address is blocked; see block_networks",
	"connection-limit-reached":  "too many requests are open; close response bodies",
	"loop-detected":             "too many redirects",
}

// codes are the cases of error-code in their order.
var codes = [...]string{
	"DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable", "destination-IP-prohibited", "destination-IP-unroutable",
	"connection-refused", "connection-terminated", "connection-timeout", "connection-read-timeout", "connection-write-timeout",
	"connection-limit-reached", "TLS-protocol-error", "TLS-certificate-error", "TLS-alert-received", "HTTP-request-denied",
	"HTTP-request-length-required", "HTTP-request-body-size", "HTTP-request-method-invalid", "HTTP-request-URI-invalid",
	"HTTP-request-URI-too-long", "HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
	"HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size", "HTTP-response-header-size",
	"HTTP-response-body-size", "HTTP-response-trailer-section-size", "HTTP-response-trailer-size", "HTTP-response-transfer-coding",
	"HTTP-response-content-coding", "HTTP-response-timeout", "HTTP-upgrade-failed", "HTTP-protocol-error", "loop-detected",
	"configuration-error", "internal-error",
}

func newError(code byte) *Error {
	if int(code) < len(codes) {
		return &Error{codes[code]}
	}
	return &Error{"internal-error"}
}
