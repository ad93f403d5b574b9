package executor

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"boxfleet/artifacts"
	"boxfleet/limits"
	"boxfleet/limits/permission"
)

// Config are an operator's settings for running jobs.
type Config struct {
	// ScratchDir holds one workspace a running job; it is swept at start.
	ScratchDir string
	// MinFree is what must be free on that disk before a job with files starts;
	// with less the worker takes no jobs. Default 64 MiB.
	MinFree int64
	// CacheDir holds modules, inputs and compiled code. Whoever can write it
	// runs native code as the worker: it is created with mode 0700 and refused
	// when others may write.
	CacheDir string
	// CacheBytes bounds modules and inputs on disk; default 10 GiB.
	CacheBytes int64
	// CompileCacheBytes bounds compiled code on disk; default 4 GiB.
	CompileCacheBytes int64
	// ModuleCacheBytes bounds compiled modules in memory: their native code,
	// memory image and the rest of the module; default 512 MiB.
	ModuleCacheBytes int64
	// CodeKey lets workers that have the same one share compiled code through
	// the store, under [CodePrefix]: a module is compiled once for each kind of
	// processor. It is a secret (see [ReadCodeKey]); nil shares nothing.
	CodeKey []byte
	// MaxModuleBytes is the largest module that is fetched; default 64 MiB.
	MaxModuleBytes int64
	// MaxInputBytes and MaxInputFiles bound what one job stages; defaults
	// 1 GiB and 100,000.
	MaxInputBytes int64
	MaxInputFiles int
	// MaxOutputBytes and MaxOutputFiles bound what one job collects; defaults
	// 1 GiB and 10,000.
	MaxOutputBytes int64
	MaxOutputFiles int
	// MemoryBudget bounds the declared memory of all running jobs together;
	// default half of the machine's (or cgroup's) memory.
	MemoryBudget limits.Bytes
	// Compilers is how many modules compile at once, besides one of at most
	// 4 MiB; default half the cores.
	Compilers int
	// Ceilings are what jobs get and may ask for.
	Ceilings limits.Ceilings
	// Access says which prefixes of the store a tenant may name. The zero
	// value denies all but what was uploaded by digest.
	Access artifacts.Access
	// Secrets are the values that env_vars may name as secret://name.
	Secrets map[string]string
	// Permissions are the operator's rules about permission levels.
	Permissions permission.Policy
	// RequireSigned refuses modules that no key of the registry's trusted ones
	// has signed.
	RequireSigned bool
	// AllowPrivateNetworks lifts the default block of private addresses; only
	// for development.
	AllowPrivateNetworks bool
	// Tick is the epoch's period; default 1 ms.
	Tick time.Duration
	Log  *slog.Logger
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	set := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	set(&c.MinFree, 64<<20)
	set(&c.CacheBytes, 10<<30)
	set(&c.CompileCacheBytes, 4<<30)
	set(&c.ModuleCacheBytes, 512<<20)
	set(&c.MaxModuleBytes, 64<<20)
	set(&c.MaxInputBytes, 1<<30)
	set(&c.MaxOutputBytes, 1<<30)
	if c.MaxInputFiles == 0 {
		c.MaxInputFiles = 100_000
	}
	if c.MaxOutputFiles == 0 {
		c.MaxOutputFiles = 10_000
	}
	if c.MemoryBudget == 0 {
		c.MemoryBudget = limits.Bytes(machineMemory() / 2)
	}
	if c.Compilers == 0 {
		c.Compilers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.Tick == 0 {
		c.Tick = time.Millisecond
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Ceilings = c.Ceilings.WithDefaults()
	return c
}

// Validate names the setting that cannot be.
func (c Config) Validate() error {
	switch {
	case c.ScratchDir == "":
		return errors.New("scratch_dir is empty: say where running jobs keep their files")
	case c.CacheDir == "":
		return errors.New("cache_dir is empty: say where modules and compiled code are kept")
	case c.Compilers < 1:
		return fmt.Errorf("compilers: %d; at least 1", c.Compilers)
	case c.Tick < 100*time.Microsecond || c.Tick > time.Second:
		return fmt.Errorf("tick: %s; write 100us to 1s", c.Tick)
	}
	if n := len(c.CodeKey); n > 0 && n < minCodeKey {
		return fmt.Errorf("code_key: %d bytes; at least %d, random ones", n, minCodeKey)
	}
	if err := c.Ceilings.Validate(); err != nil {
		return fmt.Errorf("ceilings: %w", err)
	}
	if err := c.Permissions.Validate(); err != nil {
		return fmt.Errorf("permissions: %w", err)
	}
	return nil
}
