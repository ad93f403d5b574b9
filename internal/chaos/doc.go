// Command chaos breaks a real fleet for minutes and then accounts for every
// job.
//
// It starts three nats-server processes that replicate every stream, the
// development object store behind a proxy that misbehaves, and several worker
// processes whose links to both go through proxies that can be cut. While
// tenants submit jobs it kills and freezes workers, kills NATS nodes one at a
// time, cuts links, breaks the store, fills a worker's disk, and submits jobs
// that kill whoever runs them. At the end no accepted job may be lost, none
// committed twice, every output must be what its input demands, and after a
// sweep no object may be left that no result names. A kind of fault that was
// not seen to have happened fails the run as well.
//
// What is broken when is a function of the seed (newPlan). What a fault meets
// is up to the machine, so a run repeats in its faults, not in its timing.
package main
