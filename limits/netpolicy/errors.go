package netpolicy

import (
	"fmt"
	"strconv"
)

// The RunOption fields that Parse reads, as they appear in errors and denials.
const (
	FieldAllow         = "allowed_outbound_hosts"
	FieldBlockURL      = "block_url"
	FieldBlockNetworks = "block_networks"
)

// EntryError is a list entry that Parse refuses. Parse joins one per bad entry.
type EntryError struct {
	Field   string // FieldAllow, FieldBlockURL or FieldBlockNetworks
	Index   int    // position in the list, from 0
	Entry   string // as given, shortened to 128 bytes
	Problem string // what is wrong with it
	Fix     string // what would be right
}

func (e *EntryError) Error() string {
	return fmt.Sprintf("%s[%d] %s: %s; %s", e.Field, e.Index, strconv.Quote(e.Entry), e.Problem, e.Fix)
}

// TargetError is a URL that cannot be turned into a Target. It says nothing about any policy.
type TargetError struct {
	Part    string // scheme, authority, host, port or path
	Value   string // the offending part, shortened to 128 bytes
	Problem string
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("%s %s: %s", e.Part, strconv.Quote(e.Value), e.Problem)
}

func shorten(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
