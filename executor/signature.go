package executor

import (
	"slices"

	"boxfleet/jobs"
	"boxfleet/limits/permission"
)

// ruleSigned is the rule that a worker with require-signed denies by.
const ruleSigned = "operator.require-signed"

// signed keeps the versions that a trusted key has signed: only their levels
// count then. It denies a module that has none, before it is fetched: compiling
// what nobody vouches for is what the setting is there to prevent.
func signed(tool jobs.Tool, list []jobs.Registered) ([]jobs.Registered, *permission.DeniedError) {
	trusted := slices.DeleteFunc(slices.Clone(list), func(as jobs.Registered) bool { return !as.Trusted })
	if len(trusted) > 0 {
		return trusted, nil
	}
	d := permission.Denial{
		Rule: ruleSigned, Field: "tool", Value: tool.Digest.Short(),
		Reason: "this worker runs only modules that a key of its operator's trusted-keys has signed",
	}
	if len(list) == 0 {
		d.Reason += "; nobody registered this one"
		d.Remedy = "register it and have it signed: submit tool push FILE.wasm --sign KEY"
	} else {
		name := list[len(list)-1].Name + "@" + list[len(list)-1].Version
		d.Reason += "; none of them signed " + name
		d.Remedy = "have it signed: submit tool sign " + name + " --key KEY"
	}
	return nil, &permission.DeniedError{Tool: tool.String(), Denials: []permission.Denial{d}}
}
