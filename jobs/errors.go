package jobs

import (
	"errors"
	"fmt"

	"boxfleet/artifacts"
)

// Class decides what happens to a message whose attempt gave an error. A
// guest that fails is not an error: it is a Result.
type Class uint8

// The classes, from the mildest.
const (
	// ClassTransient errors are tried again until the attempts are spent.
	ClassTransient Class = iota
	// ClassUnavailable errors say that something every job needs (the store,
	// the disk) is sick: the attempt is not counted, and the worker stops
	// fetching until a probe succeeds.
	ClassUnavailable
	// ClassPermanent errors end the job as Failed at once.
	ClassPermanent
)

func (c Class) String() string {
	return [...]string{"transient", "unavailable", "permanent"}[c]
}

type classed struct {
	class Class
	err   error
}

func (e *classed) Error() string { return e.err.Error() }
func (e *classed) Unwrap() error { return e.err }

// Permanent marks err as one that no retry can help.
func Permanent(err error) error { return &classed{ClassPermanent, err} }

// Unavailable marks err as the sickness of something every job needs.
func Unavailable(err error) error { return &classed{ClassUnavailable, err} }

// Classify gives the class of an attempt's error; what nobody classed is
// transient, because a retry loses nothing.
func Classify(err error) Class {
	if c, ok := errors.AsType[*classed](err); ok {
		return c.class
	}
	for _, sick := range []error{artifacts.ErrNoSpace, artifacts.ErrUnavailable, artifacts.ErrCredentials} {
		if errors.Is(err, sick) {
			return ClassUnavailable
		}
	}
	if artifacts.Class(err) == artifacts.Permanent {
		return ClassPermanent
	}
	return ClassTransient
}

// Causes of an attempt's end that did not come from the attempt itself; they
// are context causes.
var (
	// ErrCanceled: a user asked for it.
	ErrCanceled = errors.New("canceled by request")
	// ErrFenced: the job was given to another worker; nothing may be committed.
	ErrFenced = errors.New("the job was given to another worker")
	// ErrDraining: the worker is shutting down and the grace is over.
	ErrDraining = errors.New("the worker is shutting down")
)

// ErrNoFleet says that the streams boxfleet needs are not there.
var ErrNoFleet = errors.New("no boxfleet streams on this NATS server: start a worker once (bin/worker dev, or bin/worker run), which creates them")

// ErrNoGate says that nobody listens to the requests of tenants.
var ErrNoGate = errors.New("no gate answers, which passes the requests of these credentials on: start one (bin/worker gate), or look why those there are cannot be reached")

// NotFoundError says that a job or a tool does not exist.
type NotFoundError struct {
	Kind, Name string
	Hint       string
}

func (e *NotFoundError) Error() string {
	if e.Hint == "" {
		return fmt.Sprintf("%s %q not found", e.Kind, e.Name)
	}
	return fmt.Sprintf("%s %q not found; %s", e.Kind, e.Name, e.Hint)
}
