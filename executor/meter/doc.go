// Package meter is the host side of limits/metering on wazero: it grants fuel
// to running modules, stops them at their deadline or when they are cancelled,
// bounds their stack and their memory, and says afterwards how a run ended.
//
// A worker has one [Epoch] and calls [Register] once for each runtime. Every
// run gets a [Meter]:
//
//	m := meter.New(epoch, limits)
//	defer m.Close()
//	mod, err := m.Instantiate(ctx, runtime, compiled, config)
//	...
//	_, err = mod.ExportedFunction("_start").Call(m.Context(ctx))
//	outcome := meter.Classify(err, m)
//
// Close must come after the module has been closed and no host function of the
// run is active any more: it gives the linear memories back for other runs.
//
// Guests run on the goroutine that calls them, and refills, host functions and
// memory growth happen there too. Only [Meter.Cancel], [Meter.Done],
// [Meter.Err] and the counters that say so may be used from elsewhere.
package meter
