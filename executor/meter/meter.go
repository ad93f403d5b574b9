package meter

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"boxfleet/limits/metering"
)

// DefaultStack is the stack allowance in bytes if Limits does not name one.
const DefaultStack = 512 << 10

// Slices of fuel adapt to the guest between these sizes so that one lasts
// about a tenth of a millisecond; the outcome does not depend on them.
const (
	minSlice   = 4 << 10
	firstSlice = 32 << 10
	maxSlice   = 1 << 20
	shortSlice = 100 * time.Microsecond
	longSlice  = time.Millisecond
	yieldAfter = time.Millisecond
)

// Limits are the amounts of one run.
type Limits struct {
	// Fuel is the budget. A run that uses more is out of fuel; one that uses
	// exactly as much is not.
	Fuel uint64
	// Stack is the metered stack in bytes for each instance; 0 means
	// [DefaultStack].
	Stack int64
	// Memory caps all linear memories and tables together, in bytes. A table
	// element counts 8.
	Memory uint64
	// Timeout is the wall-clock time from New on; 0 means that only Cancel
	// ends the run.
	Timeout time.Duration
	// Slice fixes the amount granted at once; 0 lets it adapt.
	Slice int64
}

// Reason is why a run was stopped.
type Reason string

// The reasons of a [StopError].
const (
	OutOfFuel     Reason = "out_of_fuel"
	TimedOut      Reason = "timed_out"
	Canceled      Reason = "canceled"
	StackOverflow Reason = "stack_overflow"
)

// StopError ends a run. Check returns it; host functions panic with what Check
// returned, and the error of the call wraps it.
type StopError struct {
	Reason Reason
	Cause  error // of a cancellation, else nil
	text   string
}

func (e *StopError) Error() string { return e.text }

// Unwrap gives the cause of a cancellation.
func (e *StopError) Unwrap() error { return e.Cause }

// instance is one module that runs under a meter.
type instance struct {
	mod     experimental.InternalModule
	granted uint64 // sum of all slices, so consumed = granted - rest
	base    int64  // the stack global when the current call began
	stack   bool   // the current call was given its stack allowance
}

// left reads the rest of the slice from the injected global, the last one.
func (i *instance) left() int64 {
	return int64(i.mod.Global(i.mod.NumGlobal() - 1).Get())
}

// stackLeft reads the rest of the stack from the global before it.
func (i *instance) stackLeft() int64 {
	return int64(i.mod.Global(i.mod.NumGlobal() - 2).Get())
}

// Meter holds the amounts of one run. The zero value is not usable.
type Meter struct {
	limits   Limits
	epoch    *Epoch
	deadline int64 // nanoseconds on the epoch's clock
	stopped  atomic.Pointer[StopError]

	// The guest's goroutine owns these.
	instances  []instance
	current    int
	first      [1]instance
	slice      int64
	lastRefill int64
	lastYield  int64
	refills    int64
	memories   []*memory
	image      *Image // of the next memory
	closed     bool

	consumed atomic.Uint64 // as of the last refill
	memory   atomic.Uint64 // bytes in use
	peak     atomic.Uint64

	mu    sync.Mutex
	done  chan struct{} // made when asked for
	timer *time.Timer
}

// New starts a run: the time begins now.
func New(epoch *Epoch, l Limits) *Meter {
	if l.Stack <= 0 {
		l.Stack = DefaultStack
	}
	m := &Meter{limits: l, epoch: epoch, deadline: math.MaxInt64, slice: l.Slice}
	if l.Slice <= 0 {
		m.slice = firstSlice
	}
	m.instances = m.first[:0]
	now := epoch.elapsed()
	m.lastRefill, m.lastYield = now, now // a run that is short need not let others pass
	if l.Timeout > 0 {
		m.deadline = now + int64(l.Timeout)
		if m.deadline < now {
			m.deadline = math.MaxInt64
		}
		epoch.enter()
	}
	return m
}

// Close ends the accounting and gives the memories back. Call it once nothing
// uses the run's modules any more; amounts can still be read.
func (m *Meter) Close() {
	if m.closed {
		return
	}
	m.closed = true
	m.consumed.Store(m.FuelConsumed())
	m.instances = nil // lets modules and their code be collected
	for _, mem := range m.memories {
		mem.release()
	}
	m.memories = nil
	if m.limits.Timeout > 0 {
		m.epoch.leave()
	}
	m.mu.Lock()
	if m.timer != nil {
		m.timer.Stop()
	}
	m.mu.Unlock()
}

// Limits are the amounts of the run, defaults filled in.
func (m *Meter) Limits() Limits { return m.limits }

// Check says whether the run should stop. Every host function calls it first
// and panics with the error, which ends the guest. It is cheap: two loads.
func (m *Meter) Check() error {
	if m.epoch.now.Load() >= m.deadline {
		return m.stop(m.timedOut())
	}
	if e := m.stopped.Load(); e != nil {
		return e
	}
	return nil
}

// Cancel stops the run at its next check, with a cause for the log. It may be
// called from any goroutine, more than once and after the end.
func (m *Meter) Cancel(cause error) {
	text := "canceled"
	if cause != nil {
		text = "canceled: " + cause.Error()
	}
	m.stop(&StopError{Reason: Canceled, Cause: cause, text: text})
}

func (m *Meter) timedOut() *StopError {
	return &StopError{Reason: TimedOut, text: fmt.Sprintf("timed out: the run took longer than %v", m.limits.Timeout)}
}

// stop records the first reason and returns it.
func (m *Meter) stop(e *StopError) *StopError {
	if m.stopped.CompareAndSwap(nil, e) {
		m.mu.Lock()
		if m.done != nil {
			close(m.done)
		}
		m.mu.Unlock()
		return e
	}
	return m.stopped.Load()
}

// Err is why the run was stopped, or nil. It may be called from any goroutine.
func (m *Meter) Err() error {
	if e := m.stopped.Load(); e != nil {
		return e
	}
	return nil
}

// Done is closed at the deadline or when the run is cancelled, for host
// functions that wait. It may be called from any goroutine.
func (m *Meter) Done() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.done == nil {
		m.done = make(chan struct{})
		if m.stopped.Load() != nil {
			close(m.done)
		} else if m.deadline != math.MaxInt64 {
			m.timer = time.AfterFunc(time.Duration(m.deadline-m.epoch.elapsed()), func() {
				m.epoch.advance() // Check agrees from now on
				m.stop(m.timedOut())
			})
		}
	}
	return m.done
}

// Deadline is when the run times out; ok is false if it does not.
func (m *Meter) Deadline() (t time.Time, ok bool) {
	if m.deadline == math.MaxInt64 {
		return time.Time{}, false
	}
	return m.epoch.start.Add(time.Duration(m.deadline)), true
}

// FuelConsumed is the fuel used so far. While the guest runs it is exact on
// the guest's goroutine; elsewhere use FuelSoFar.
func (m *Meter) FuelConsumed() uint64 {
	if len(m.instances) == 0 {
		return m.consumed.Load()
	}
	var n uint64
	for i := range m.instances {
		n += m.instances[i].granted - uint64(m.instances[i].left())
	}
	return n
}

// FuelSoFar is the fuel used up to the last refill. It may be called from any
// goroutine.
func (m *Meter) FuelSoFar() uint64 { return m.consumed.Load() }

// PeakMemory is the largest sum of memory and table bytes that was in use. It
// may be called from any goroutine.
func (m *Meter) PeakMemory() uint64 { return m.peak.Load() }

// Memory is the sum of memory and table bytes in use. It may be called from
// any goroutine.
func (m *Meter) Memory() uint64 { return m.memory.Load() }

// Refills is how often the guest asked for fuel.
func (m *Meter) Refills() int64 { return m.refills }

// Attach tells the meter of a module whose code may run before it asks for
// fuel. Instantiate does it; modules that ask are known from then on.
func (m *Meter) Attach(mod api.Module) {
	if im, ok := mod.(experimental.InternalModule); ok {
		m.find(im)
	}
}

// find gives the record of a module, making it if needed.
func (m *Meter) find(mod experimental.InternalModule) *instance {
	if m.current < len(m.instances) && m.instances[m.current].mod == mod {
		return &m.instances[m.current]
	}
	for i := range m.instances {
		if m.instances[i].mod == mod {
			m.current = i
			return &m.instances[i]
		}
	}
	m.instances = append(m.instances, instance{mod: mod})
	m.current = len(m.instances) - 1
	return &m.instances[m.current]
}

// refill answers metering.OpRefill: it ends the run or gives the next slice.
func (m *Meter) refill(mod experimental.InternalModule, left int64) int64 {
	m.refills++
	now := m.epoch.advance()
	in := m.find(mod)
	consumed := in.granted - uint64(left)
	rest := consumed
	for i := range m.instances {
		if o := &m.instances[i]; o != in {
			consumed += o.granted - uint64(o.left())
		}
	}
	m.consumed.Store(consumed)
	if now >= m.deadline {
		panic(m.stop(m.timedOut()))
	}
	if e := m.stopped.Load(); e != nil {
		panic(e)
	}
	if consumed > m.limits.Fuel {
		panic(m.stop(&StopError{Reason: OutOfFuel, text: fmt.Sprintf("out of fuel: more than %d used", m.limits.Fuel)}))
	}
	// Guests spin without the scheduler's knowledge; letting others run now and
	// then keeps heartbeats and the other guests going on a busy worker.
	if now-m.lastYield > int64(yieldAfter) {
		runtime.Gosched()
		now = m.epoch.advance()
		m.lastYield = now
	}
	if m.limits.Slice <= 0 {
		m.adapt(time.Duration(now - m.lastRefill))
		m.lastRefill = now
	}
	grant := min(m.slice, int64(min(m.limits.Fuel-consumed, math.MaxInt64)))
	in.granted = rest + uint64(grant)
	return grant
}

// adapt fits the slice to the time the last one took.
func (m *Meter) adapt(took time.Duration) {
	switch {
	case took < shortSlice && m.slice < maxSlice:
		m.slice *= 2
	case took > longSlice && m.slice > minSlice:
		m.slice /= 2
	}
}

// overflow answers metering.OpStack. The global may hold anything when a call
// begins: zero in a new instance, or too little after a trap, which unwinds no
// frames. What the call has used is what the global fell by since then.
func (m *Meter) overflow(mod experimental.InternalModule, left int64) int64 {
	in := m.find(mod)
	if !in.stack {
		in.stack = true
		if left += m.limits.Stack - in.base; left >= 0 {
			return left
		}
	}
	panic(m.stop(&StopError{Reason: StackOverflow,
		text: fmt.Sprintf("stack overflow: more than %d bytes of metered stack", m.limits.Stack)}))
}

// poll answers metering.OpPoll.
func (m *Meter) poll() {
	m.epoch.advance()
	if err := m.Check(); err != nil {
		panic(err)
	}
}

// runContext carries a meter. It is its own type so that FromContext finds the
// meter without walking a chain.
type runContext struct {
	context.Context
	meter *Meter
}

type meterKey struct{}

// Value implements context.Context.
func (c *runContext) Value(key any) any {
	if key == (meterKey{}) {
		return c.meter
	}
	return c.Context.Value(key)
}

// Context carries the meter and its memory allocator. Pass it to
// InstantiateModule, and make a new one for every call of the guest from
// outside: each has the whole stack. Calls from within a host function use the
// context that the function was given.
func (m *Meter) Context(ctx context.Context) context.Context {
	for i := range m.instances {
		in := &m.instances[i]
		in.base, in.stack = in.stackLeft(), false
	}
	return &runContext{Context: experimental.WithMemoryAllocator(ctx, m), meter: m}
}

// FromContext gives the meter of the run a host function was called by, or nil
// if there is none.
func FromContext(ctx context.Context) *Meter {
	if c, ok := ctx.(*runContext); ok {
		return c.meter
	}
	m, _ := ctx.Value(meterKey{}).(*Meter)
	return m
}

// Register installs the host function that rewritten modules import.
func Register(ctx context.Context, rt wazero.Runtime) error {
	_, err := rt.NewHostModuleBuilder(metering.HostModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(serve),
			[]api.ValueType{api.ValueTypeI32, api.ValueTypeI64}, []api.ValueType{api.ValueTypeI64}).
		Export(metering.HostFunction).Instantiate(ctx)
	if err != nil {
		return fmt.Errorf("register the meter: %w", err)
	}
	return nil
}

// serve is the host function.
func serve(ctx context.Context, mod api.Module, stack []uint64) {
	m := FromContext(ctx)
	if m == nil {
		panic(fmt.Errorf("metered module %q was called without a meter: pass Meter.Context to every call", mod.Name()))
	}
	switch uint32(stack[0]) {
	case metering.OpRefill:
		stack[0] = uint64(m.refill(mod.(experimental.InternalModule), int64(stack[1])))
	case metering.OpStack:
		stack[0] = uint64(m.overflow(mod.(experimental.InternalModule), int64(stack[1])))
	case metering.OpTableGrow:
		m.poll()
		stack[0] = m.growTable(stack[1])
	case metering.OpPoll:
		m.poll()
		stack[0] = 0
	}
}

// RuntimeConfig is the configuration for runtimes whose modules are metered:
// the compiler, exactly the features that metering.Rewrite accepts, and no
// reading of debug sections, which costs seconds and is not needed for names.
func RuntimeConfig() wazero.RuntimeConfig {
	return configure(wazero.NewRuntimeConfigCompiler())
}

func configure(c wazero.RuntimeConfig) wazero.RuntimeConfig {
	return c.WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesTailCall | experimental.CoreFeaturesExtendedConst).
		WithDebugInfoEnabled(false).
		WithCustomSections(false).
		WithCloseOnContextDone(false)
}
