// Package limits says what a job may do and how much of it: the RunOption that
// travels with every job, the amounts a worker grants, and the ceilings an
// operator sets.
//
// It is the lowest package of boxfleet. The client imports it to check a job
// before anything is sent; the worker imports it to decide what the sandbox
// enforces. It links no wasm engine and opens no connection.
//
// The life of a limit:
//
//	RunOption (asked, may be absent)
//	    -> Validate   form only: what can be judged without a worker
//	    -> Ceilings.Grant   the worker's answer: every amount explicit, or a refusal
//	    -> Grant      what the executor enforces
//
// Absent means denied for permissions and the worker's default for amounts.
// Nothing in this package means "unlimited".
package limits
