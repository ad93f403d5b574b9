// Package wasihttp is a host of WASI 0.2 for core modules. Outgoing HTTP is what it began with: the lowered imports of
// wasi:http/types, wasi:http/outgoing-handler and what they stand on (wasi:io, wasi:clocks, wasi:random) are wazero
// host modules that speak the canonical ABI by hand. wasi:cli and wasi:filesystem, over package sandboxfs, share the
// table of handles and the streams with them, for programs that do not speak WASI 0.1. wasi:sockets is there to be
// refused.
//
// # Use
//
// [Register] installs, once per runtime, the host modules that a guest imports. A [Host] holds everything of one
// instance and travels in the context:
//
//	host := wasihttp.New(wasihttp.Config{Policy: policy, Interrupter: meter})
//	defer host.Close()
//	mod, err := runtime.InstantiateModule(host.Context(ctx), compiled, config)
//
// [Program] is what wasi:cli shows; wasi:filesystem shows the mounts of Config.FS. A Host that is never asked for a
// request costs one allocation. Requests go through one [outbound.Client] per Host,
// which holds the policy and the amounts.
//
// # What a guest sees
//
// A request that is denied, or fails, is an error-code and never a trap. A guest that breaks the rules of the component
// model gets what the model prescribes, a trap: a handle that it does not have, of another type, or dropped before;
// memory that it does not have; a misaligned pointer; text that is not UTF-8; a call made from inside cabi_realloc; a
// parent dropped before its children where the interface lets implementations trap; more bytes written than permitted.
// Traps are panics with a *[TrapError], which wazero carries out of the guest's call. An amount of host memory that is
// used up (handles, fields) is a trap too, as the interfaces have no error for it.
//
// The memory of a guest is read and written only inside its bounds, and results are put where the guest's own
// cabi_realloc says, after that answer was checked.
//
// Each call asks the [Interrupter] first, and every wait ends when it is done.
package wasihttp
