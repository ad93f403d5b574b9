// Package outbound is the one way from a job to the network: a dialer and an HTTP client that ask the job's
// [netpolicy.Policy] before a name is looked up, for every address that it resolved to, and once more on the address
// that the socket connects to.
//
// A [Client] belongs to one job. Nothing is shared between two clients: no connection, no TLS session, no cookie, no
// cached lookup. It uses no proxy from the environment, speaks HTTP/1.1 only, sends nothing that the guest did not ask
// for (no User-Agent, no Accept-Encoding) and decodes nothing. Under an empty policy it sends no packet, not even to a
// name server.
//
// It follows no redirect. wasi:http leaves that to the guest, and so each hop comes back as a request of its own and
// is checked as one. The client remembers where its redirects pointed, so that a chain has a limit whoever follows it.
//
// Refusals are a [DeniedError] (policy) or a [LimitError] (an amount is spent) and are kept, bounded, for the job's
// result: see [Client.Denials].
package outbound
