// Package netpolicy decides where a job may connect to.
//
// A [Policy] is parsed from three fields of a RunOption and is the same object at both ends of a job's life: the
// client parses it to reject a bad entry at submit, by name, and the worker asks it before every lookup, every
// connection and every request. It needs nothing but the standard library and never touches the network.
//
// # Fields
//
// allowed_outbound_hosts lists what may be reached. Absent or empty means nothing, not even a DNS lookup.
//
//	https://api.example.com          the scheme's default port
//	https://api.example.com:8443     one port; 8000-8999 (or 8000..8999) is a range, * is any port
//	https://*.example.com            any depth below example.com, not example.com itself
//	*://10.1.0.0/16:8080             addresses written as such in the URL; never names that resolve into the range
//	http://[2001:db8::/32]           the same for IPv6, in brackets
//	*                                everything that the two lists below do not block
//
// block_url lists URL prefixes that are refused whatever is allowed. An entry without a port covers every port of its
// host. Prefixes are compared after normalising, see [Policy.CheckURL].
//
// block_networks lists CIDRs, single addresses and the word private. It is checked on the address that is dialled.
// private is always on, also when the list is absent; only the operator of a worker can lift it, by [Options].
//
// # Two questions
//
// [Policy.CheckURL] is asked before a name is resolved, [Policy.CheckDial] for every address that the name resolved to,
// right before it is dialled. Both answers are needed for a connection. Callers connect to what a [Target] says, which
// is canonical, and never to the text that the guest sent: two parsers that disagree about a URL are a way around any
// policy.
package netpolicy
