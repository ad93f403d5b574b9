package metering

import "fmt"

// Version is part of [Config.Key]. It changes with every change of what
// Rewrite writes, so that nothing compiled from older output is used again.
const Version = 2

// The host function that the rewritten module imports.
const (
	HostModule   = "boxfleet:meter"
	HostFunction = "meter"
)

// The first argument of the host function.
const (
	// OpRefill asks for the next slice of fuel. The value is what is left of
	// the current one (zero or negative); the answer is the new rest. The host
	// ends the run when the budget is spent or the run should stop.
	OpRefill = 0
	// OpStack reports that the stack allowance went below zero. The value is
	// the rest (negative). The first time the host answers with the rest plus
	// the limit; if that is still negative, or on any later call, it ends the
	// run.
	OpStack = 1
	// OpTableGrow asks for room for value further table elements. The answer
	// is 1 to allow and 0 to make table.grow return -1.
	OpTableGrow = 2
	// OpPoll only asks whether the run should stop; the answer is ignored.
	OpPoll = 3
)

// Config says what Rewrite may assume and what it refuses. The zero value
// stands for the defaults.
type Config struct {
	// MaxModuleBytes caps the input; 0 means 256 MiB.
	MaxModuleBytes uint64
	// MaxFunctionBytes caps one function body; 0 means 7,654,321 bytes, the
	// limit of the web embedding (WebAssembly JavaScript Interface, section
	// "Implementation-defined Limits").
	MaxFunctionBytes uint64
	// MaxFunctionLocals caps parameters and locals of one function; 0 means
	// 50,000, the limit of the web embedding.
	MaxFunctionLocals uint64
	// MaxLocals caps the locals of all functions together, since an engine
	// keeps a list of them and three bytes can declare thousands; 0 means
	// 16 Mi.
	MaxLocals uint64
	// MaxTableElements caps every table: a larger minimum is refused, a larger
	// or missing maximum is lowered to it; 0 means 10,000,000, the limit of
	// the web embedding.
	MaxTableElements uint64
	// DataGap is the largest gap between two active data segments that is
	// filled with zeros to make them one, in bytes; 0 means 4 KiB, negative
	// means that segments are left alone.
	DataGap int
	// Images takes what active data segments write out of the module and puts
	// it into [Module.Image]. A host that sets it must write the image into the
	// memory of every instance before anything of the module runs.
	Images bool
	// KeepCustom keeps custom sections other than the name section. They are
	// dropped by default: no engine needs them and debug sections cost load
	// time. Sections whose name starts with ".debug_" are always dropped.
	KeepCustom bool
	// PreciseTraps makes the fuel count exact after every kind of trap. It
	// costs time and size; without it the count after a trap is deterministic
	// and off by at most what one function body adds up to.
	PreciseTraps bool
}

func (c Config) withDefaults() Config {
	def := func(v *uint64, d uint64) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxModuleBytes, 256<<20)
	def(&c.MaxFunctionBytes, 7_654_321)
	def(&c.MaxFunctionLocals, 50_000)
	def(&c.MaxLocals, 16<<20)
	def(&c.MaxTableElements, 10_000_000)
	if c.DataGap == 0 {
		c.DataGap = 4 << 10
	}
	return c
}

// Key is a canonical text of the configuration and [Version]. Two equal keys
// mean that Rewrite gives equal output for equal input, so it belongs into the
// key of every cache of what was compiled.
func (c Config) Key() string {
	c = c.withDefaults()
	return fmt.Sprintf("m%d t%d g%d i%t k%t p%t l%d.%d.%d.%d", Version, c.MaxTableElements, c.DataGap,
		c.Images, c.KeepCustom, c.PreciseTraps, c.MaxModuleBytes, c.MaxFunctionBytes, c.MaxFunctionLocals, c.MaxLocals)
}
