package wasihttp

import (
	"context"
	"fmt"
	"sync"

	"github.com/tetratelabs/wazero"

	"boxfleet/limits/guestabi"
)

// interfaces are what this package serves. No function differs between the 0.2 versions published so far (0.2.0 to
// 0.2.12): later ones only added documentation and feature gates.
var interfaces = map[string][]*function{
	"wasi:http/types":             concat(fieldsFunctions, requestFunctions, responseFunctions, bodyFunctions, codeFunctions, serverFunctions),
	"wasi:http/outgoing-handler":  handlerFunctions,
	"wasi:io/error":               errorFunctions,
	"wasi:io/poll":                pollFunctions,
	"wasi:io/streams":             streamFunctions,
	"wasi:clocks/monotonic-clock": monotonicFunctions,
	"wasi:clocks/wall-clock":      wallFunctions,
	"wasi:random/random":          randomFunctions,
	"wasi:random/insecure":        insecureFunctions,
	"wasi:random/insecure-seed":   seedFunctions,

	"wasi:cli/environment":     environmentFunctions,
	"wasi:cli/exit":            exitFunctions,
	"wasi:cli/stdin":           stdinFunctions,
	"wasi:cli/stdout":          stdoutFunctions,
	"wasi:cli/stderr":          stderrFunctions,
	"wasi:cli/terminal-input":  terminalInputFunctions,
	"wasi:cli/terminal-output": terminalOutputFunctions,
	"wasi:cli/terminal-stdin":  terminalStdinFunctions,
	"wasi:cli/terminal-stdout": terminalStdoutFunctions,
	"wasi:cli/terminal-stderr": terminalStderrFunctions,

	"wasi:filesystem/types":    concat(fileFunctions, pathFunctions),
	"wasi:filesystem/preopens": preopensFunctions,

	"wasi:sockets/instance-network":  instanceNetworkFunctions,
	"wasi:sockets/network":           networkFunctions,
	"wasi:sockets/ip-name-lookup":    lookupFunctions,
	"wasi:sockets/tcp-create-socket": createTCPFunctions,
	"wasi:sockets/udp-create-socket": createUDPFunctions,
	"wasi:sockets/tcp":               tcpFunctions,
	"wasi:sockets/udp":               udpFunctions,
}

func concat(lists ...[]*function) (all []*function) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Supported says whether a module name that a guest imports is one of ours: an interface of the list above in any
// version 0.2.x. By the rules of semantic versions all of 0.2.x are one.
func Supported(module string) bool {
	_, ok := lookup(module)
	return ok
}

func lookup(module string) ([]*function, bool) {
	name, version := guestabi.SplitVersion(module)
	if !guestabi.Compatible(version) {
		return nil, false
	}
	functions, ok := interfaces[name]
	return functions, ok
}

var registering sync.Mutex

// Register installs host modules for those of the named modules that are Supported and not there yet; others are left
// alone, for whoever links the guest. It may be called for every job: when nothing is missing it only looks. The
// runtime closes what was installed.
func Register(ctx context.Context, rt wazero.Runtime, modules []string) error {
	for _, module := range modules {
		functions, ok := lookup(module)
		if !ok || rt.Module(module) != nil {
			continue
		}
		if err := install(ctx, rt, module, functions); err != nil {
			return err
		}
	}
	return nil
}

func install(ctx context.Context, rt wazero.Runtime, module string, functions []*function) error {
	registering.Lock()
	defer registering.Unlock()
	if rt.Module(module) != nil {
		return nil // another job was first
	}
	builder := rt.NewHostModuleBuilder(module)
	for _, f := range functions {
		builder.NewFunctionBuilder().WithGoModuleFunction(f, f.params, f.results).Export(f.name)
	}
	if _, err := builder.Instantiate(ctx); err != nil {
		return fmt.Errorf("register %s: %w", module, err)
	}
	return nil
}
