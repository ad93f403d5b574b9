// Package faultproxy stands between a client and a real server and misbehaves
// on request, for tests: it cuts, delays and starves connections (TCP) or
// refuses, truncates and rewrites single exchanges (HTTP). The server behind it
// is real, so what a test learns is how the client bears a broken network, not
// how it bears a pretended server.
//
// Proxies listen on 127.0.0.1 and end with Close.
package faultproxy
