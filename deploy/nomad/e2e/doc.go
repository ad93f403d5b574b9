// Package e2e checks the Nomad job files: by Nomad's own parser as part of
// `make test`, and by a rehearsal on real agents with `make nomad-e2e`.
//
// It is a module of its own because Nomad brings three hundred others.
package e2e
