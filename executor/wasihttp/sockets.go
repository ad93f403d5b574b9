package wasihttp

import (
	"maps"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"boxfleet/limits/guestabi"
)

// Guests have no sockets: the network is reached through wasi:http, where a request can be held to the job's rules. The
// C libraries and engines of WASI 0.2 import wasi:sockets all the same, so the interfaces are there, and whoever asks for
// a socket is told that access is denied, and whoever asks for a name that there is no resolver. Without a socket there
// are no handles to call the rest with.

// network is wasi:sockets/network.network, which stands for nothing.
type network struct{}

func (network) release(*Host) {}

// Cases of wasi:sockets/network.error-code.
const (
	socketDenied = 1  // access-denied
	noResolver   = 20 // permanent-resolver-failure, which is what a lookup may fail with
)

// denySocket gives result<own<...>, error-code> with an error for the return pointer in the given parameter.
func denySocket(param int, code byte) func(c *call, s []uint64) {
	return func(c *call, s []uint64) {
		ret := c.ret(s[param], 4, 8)
		c.put8(ret, 1)
		c.put8(ret+4, code)
	}
}

func noSocket(c *call, _ []uint64) { c.trap("a job has no sockets; use wasi:http") }

// socketFunctions gives all functions of an interface of wasi:sockets, those that are not listed for want of a handle.
func socketFunctions(name string, given ...*function) []*function {
	all := guestabi.Functions(name)
	for _, f := range given {
		delete(all, f.name)
	}
	for _, f := range slices.Sorted(maps.Keys(all)) {
		params, results, _ := strings.Cut(all[f], " -> ")
		given = append(given, &function{f, valueTypes(params), valueTypes(results), noSocket})
	}
	return given
}

// valueTypes reads a list such as "(i32 i64)".
func valueTypes(list string) (types []api.ValueType) {
	for _, t := range strings.Fields(strings.Trim(list, "()")) {
		types = append(types, map[string]api.ValueType{"i32": i32, "i64": i64}[t])
	}
	return types
}

var (
	instanceNetworkFunctions = []*function{
		{"instance-network", nil, sig(i32), func(c *call, s []uint64) { s[0] = uint64(c.add(network{}, 0)) }},
	}
	networkFunctions   = []*function{{"[resource-drop]network", sig(i32), nil, drop[network]}}
	createTCPFunctions = []*function{{"create-tcp-socket", sig(i32, i32), nil, denySocket(1, socketDenied)}}
	createUDPFunctions = []*function{{"create-udp-socket", sig(i32, i32), nil, denySocket(1, socketDenied)}}
	lookupFunctions    = socketFunctions("wasi:sockets/ip-name-lookup",
		&function{"resolve-addresses", sig(i32, i32, i32, i32), nil, func(c *call, s []uint64) {
			borrow[network](c, s[0])
			denySocket(3, noResolver)(c, s)
		}})
	tcpFunctions = socketFunctions("wasi:sockets/tcp")
	udpFunctions = socketFunctions("wasi:sockets/udp")
)
