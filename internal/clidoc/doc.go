// Package clidoc writes down what a command line offers: as manual pages, and
// as one JSON document for programs.
//
// Both programs have it as the hidden command `manual` ([Command]): packagers
// run `submit manual --man DIR`, `make docs` fills docs/man with it, and the
// test of the documentation reads `submit manual --json` to hold every command
// in the manual to the flags there are.
package clidoc
