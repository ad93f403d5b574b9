package executor

import (
	"errors"

	"boxfleet/limits/guestabi"
	"boxfleet/limits/metering"
)

// checkModule refuses a module that cannot run as a command here: it asks for
// what no host module gives (each import is named), or has no _start.
func checkModule(info *metering.Info) error {
	var errs []error
	for _, e := range guestabi.Refused(info.Imports) {
		errs = append(errs, e)
	}
	if start, ok := info.Export("_start"); !ok || start.Kind != metering.KindFunc {
		errs = append(errs, errors.New("it exports no function _start: a command is wanted, not a library (reactor)"))
	}
	return errors.Join(errs...)
}
