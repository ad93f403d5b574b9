//go:build tools

package e2e

// `make nomad-e2e` builds Nomad's main package; the import says so to the go
// command.
import _ "github.com/hashicorp/nomad"
