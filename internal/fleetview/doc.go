// Package fleetview keeps a live picture of a fleet for those who look at it:
// `submit top` and `submit dashboard`. It asks nothing of workers. It watches
// the records of one tenant's jobs, whose changes are the fleet's events, and
// looks at the queues and the workers' signs of life once a second.
//
// A View is bounded whatever the fleet does: it keeps the newest jobs only, and
// says when there were more. What its identity may not read is left out and
// said so, so that a tenant's own user sees that tenant's part.
//
// All text that came from guests, tenants or workers leaves this package
// without control characters and without characters that reorder text.
package fleetview
