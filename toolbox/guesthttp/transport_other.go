//go:build !wasip1

package guesthttp

import "net/http"

// Transport is an http.RoundTripper.
type Transport struct{}

// RoundTrip uses http.DefaultTransport.
func (*Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return http.DefaultTransport.RoundTrip(req)
}
