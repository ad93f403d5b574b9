// Package dashboard serves a fleet's picture as a web page on this machine's
// loopback: what `submit dashboard` starts. The page is embedded, needs no
// network and no build step.
//
// Whoever can reach the port is not trusted. A request must name a loopback
// address as its host (DNS rebinding), come from the page itself (Origin and
// Fetch Metadata), and carry the session's key, which only the address that the
// program prints holds. Actions need a second secret, the token, in a header
// that no form and no other site can send; without one the server has none.
//
// What guests, tenants and workers wrote is hostile. It reaches the page as
// JSON without control characters, and the page makes text nodes of it and
// nothing else; its policy (CSP with Trusted Types) forbids the rest. Files
// leave as downloads of an opaque type.
package dashboard
