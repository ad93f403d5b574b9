package wasihttp

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strconv"
	"syscall"

	"boxfleet/executor/outbound"
	"boxfleet/limits/netpolicy"
)

// The cases of wasi:http/types.error-code that this host gives, by their number in the variant.
const (
	codeDNSTimeout                = 0
	codeDNSError                  = 1
	codeDestinationIPProhibited   = 4
	codeDestinationIPUnroutable   = 5
	codeConnectionRefused         = 6
	codeConnectionTerminated      = 7
	codeConnectionTimeout         = 8
	codeConnectionReadTimeout     = 9
	codeConnectionLimitReached    = 11
	codeTLSProtocolError          = 12
	codeTLSCertificateError       = 13
	codeTLSAlertReceived          = 14
	codeRequestDenied             = 15
	codeRequestBodySize           = 17
	codeRequestMethodInvalid      = 18
	codeRequestURIInvalid         = 19
	codeRequestHeaderSectionSize  = 21
	codeRequestTrailerSectionSize = 23
	codeResponseIncomplete        = 25
	codeResponseHeaderSectionSize = 26
	codeResponseBodySize          = 28
	codeResponseTimeout           = 33
	codeProtocolError             = 35
	codeLoopDetected              = 36
	codeInternalError             = 38
)

var codeNames = map[byte]string{
	codeDNSTimeout: "DNS-timeout", codeDNSError: "DNS-error", codeDestinationIPProhibited: "destination-IP-prohibited",
	codeDestinationIPUnroutable: "destination-IP-unroutable", codeConnectionRefused: "connection-refused",
	codeConnectionTerminated: "connection-terminated", codeConnectionTimeout: "connection-timeout",
	codeConnectionReadTimeout: "connection-read-timeout", codeConnectionLimitReached: "connection-limit-reached",
	codeTLSProtocolError: "TLS-protocol-error", codeTLSCertificateError: "TLS-certificate-error", codeTLSAlertReceived: "TLS-alert-received",
	codeRequestDenied: "HTTP-request-denied", codeRequestBodySize: "HTTP-request-body-size", codeRequestMethodInvalid: "HTTP-request-method-invalid",
	codeRequestURIInvalid: "HTTP-request-URI-invalid", codeRequestHeaderSectionSize: "HTTP-request-header-section-size",
	codeRequestTrailerSectionSize: "HTTP-request-trailer-section-size", codeResponseIncomplete: "HTTP-response-incomplete",
	codeResponseHeaderSectionSize: "HTTP-response-header-section-size", codeResponseBodySize: "HTTP-response-body-size",
	codeResponseTimeout: "HTTP-response-timeout", codeProtocolError: "HTTP-protocol-error", codeLoopDetected: "loop-detected", codeInternalError: "internal-error",
}

const limitRequestHeader = "request header bytes"

// errorCode is the variant, with the payloads that this host fills in.
type errorCode struct {
	code byte
	text string // DNS-error.rcode, TLS-alert-received.alert-message
	num  *uint64
}

// String is all that a guest learns: no address, name server or port of the worker.
func (e errorCode) String() string {
	s := codeNames[e.code]
	if e.text != "" {
		s += " " + e.text
	}
	if e.num != nil {
		s += " " + strconv.FormatUint(*e.num, 10)
	}
	return s
}

// codeOf turns any error of the client into an error-code.
func codeOf(err error) errorCode {
	var (
		denied      *outbound.DeniedError
		limit       *outbound.LimitError
		timeout     *outbound.TimeoutError
		request     *outbound.RequestError
		target      *netpolicy.TargetError
		dns         *net.DNSError
		alert       tls.AlertError
		record      tls.RecordHeaderError
		certificate *tls.CertificateVerificationError
		hostname    x509.HostnameError
		netErr      net.Error
	)
	switch {
	case errors.As(err, &denied):
		if denied.Address != "" {
			return errorCode{code: codeDestinationIPProhibited}
		}
		return errorCode{code: codeRequestDenied}
	case errors.As(err, &limit):
		return limitCode(limit)
	case errors.As(err, &timeout):
		switch timeout.Phase {
		case outbound.PhaseConnect:
			return errorCode{code: codeConnectionTimeout}
		case outbound.PhaseFirstByte:
			return errorCode{code: codeResponseTimeout}
		}
		return errorCode{code: codeConnectionReadTimeout}
	case errors.As(err, &request):
		switch request.Part {
		case "method":
			return errorCode{code: codeRequestMethodInvalid}
		case "URL":
			return errorCode{code: codeRequestURIInvalid}
		case "body":
			return errorCode{code: codeRequestBodySize}
		}
		return errorCode{code: codeRequestDenied}
	case errors.As(err, &target):
		return errorCode{code: codeRequestURIInvalid}
	case errors.Is(err, errBodyLength):
		return errorCode{code: codeRequestBodySize}
	case errors.As(err, &dns):
		switch {
		case dns.IsTimeout:
			return errorCode{code: codeDNSTimeout}
		case dns.IsNotFound:
			return errorCode{code: codeDNSError, text: "NXDOMAIN"}
		}
		return errorCode{code: codeDNSError}
	case errors.As(err, &certificate), errors.As(err, &hostname):
		return errorCode{code: codeTLSCertificateError}
	case errors.As(err, &alert):
		n := uint64(alert)
		return errorCode{code: codeTLSAlertReceived, num: &n}
	case errors.As(err, &record):
		return errorCode{code: codeTLSProtocolError}
	case errors.Is(err, syscall.ECONNREFUSED):
		return errorCode{code: codeConnectionRefused}
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EADDRNOTAVAIL):
		return errorCode{code: codeDestinationIPUnroutable}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errorCode{code: codeResponseIncomplete}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF):
		return errorCode{code: codeConnectionTerminated}
	case errors.Is(err, outbound.ErrClosed), errors.Is(err, ErrClosed), errors.Is(err, ErrInterrupted):
		return errorCode{code: codeInternalError}
	case errors.As(err, &netErr) && netErr.Timeout():
		return errorCode{code: codeConnectionTimeout}
	}
	return errorCode{code: codeProtocolError}
}

func limitCode(limit *outbound.LimitError) errorCode {
	n := uint64(limit.Max)
	switch limit.Limit {
	case outbound.LimitRedirects:
		return errorCode{code: codeLoopDetected}
	case outbound.LimitConcurrent:
		return errorCode{code: codeConnectionLimitReached}
	case outbound.LimitBytesUp:
		return errorCode{code: codeRequestBodySize, num: &n}
	case outbound.LimitBytes, outbound.LimitBytesDown:
		return errorCode{code: codeResponseBodySize, num: &n}
	case outbound.LimitHeader:
		return errorCode{code: codeResponseHeaderSectionSize, num: &n}
	case limitRequestHeader:
		return errorCode{code: codeRequestHeaderSectionSize, num: &n}
	}
	return errorCode{code: codeRequestDenied}
}

// putErrorCode writes the variant, 32 bytes aligned to 8: the case, and its payload at 8.
func (c *call) putErrorCode(at uint32, e errorCode) {
	c.put(at, make([]byte, 32)) // every option below is none
	c.put8(at, e.code)
	at += 8
	switch e.code {
	case codeDNSError: // record { rcode: option<string>, info-code: option<u16> }
		if e.text != "" {
			c.putOptionString(at, &e.text)
		}
	case codeTLSAlertReceived: // record { alert-id: option<u8>, alert-message: option<string> }
		if e.num != nil {
			c.put8(at, 1)
			c.put8(at+1, byte(*e.num))
		}
	case codeRequestBodySize, codeResponseBodySize: // option<u64>
		if e.num != nil {
			c.put8(at, 1)
			c.put64(at+8, *e.num)
		}
	case codeRequestHeaderSectionSize, codeResponseHeaderSectionSize: // option<u32>
		if e.num != nil {
			c.put8(at, 1)
			c.put32(at+4, uint32(min(*e.num, 1<<32-1)))
		}
	}
}

var codeFunctions = []*function{
	{"http-error-code", sig(i32, i32), nil, func(c *call, s []uint64) {
		e, ret := borrow[*ioError](c, s[0]), c.ret(s[1], 8, 40)
		if e.file != nil {
			c.put8(ret, 0)
			return
		}
		c.put8(ret, 1)
		c.putErrorCode(ret+8, e.code)
	}},
}
