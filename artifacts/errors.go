package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"syscall"

	"github.com/minio/minio-go/v7"
)

// Kinds of error. Every error of this package that a caller may have to tell
// from others satisfies errors.Is with one of them.
var (
	ErrNotFound       = errors.New("not found")
	ErrExists         = errors.New("already exists")
	ErrAccess         = errors.New("access denied")
	ErrCredentials    = errors.New("credentials refused") // the worker's own, not the tenant's
	ErrUnavailable    = errors.New("storage unavailable")
	ErrDigestMismatch = errors.New("digest mismatch")
	ErrTooLarge       = errors.New("too large")
	ErrNoSpace        = errors.New("no space left on the worker")
	ErrInvalidName    = errors.New("invalid name") // a key, path or reference that no file may have
	ErrInvalid        = errors.New("invalid")      // a document or request that makes no sense
	ErrLocked         = errors.New("in use by another process")
)

// FailureClass says whether trying again can help.
type FailureClass int

const (
	// Transient errors belong to the infrastructure: another attempt, later or
	// on another worker, may succeed.
	Transient FailureClass = iota
	// Permanent errors belong to the job or its data: every attempt ends alike.
	Permanent
)

func (c FailureClass) String() string {
	if c == Permanent {
		return "permanent"
	}
	return "transient"
}

// Class returns the fate of err. What is not known to be permanent is
// transient: attempts are bounded anyway, and a job given up for a fault of the
// infrastructure is a job lost.
//
// A missing bucket and refused credentials are transient when they concern the
// store's own configuration, because then they are the worker's fault and hit
// every job alike.
func Class(err error) FailureClass {
	var e *Error
	if errors.As(err, &e) && e.operators {
		return Transient
	}
	for _, transient := range []error{ErrNoSpace, ErrUnavailable, ErrCredentials, ErrLocked, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, transient) {
			return Transient
		}
	}
	for _, permanent := range []error{ErrNotFound, ErrExists, ErrAccess, ErrDigestMismatch, ErrTooLarge, ErrInvalidName, ErrInvalid} {
		if errors.Is(err, permanent) {
			return Permanent
		}
	}
	return Transient
}

// Error is a failed operation on an object or a bucket.
type Error struct {
	Op     string // "put", "get", ...
	Bucket string
	Key    string // empty for a bucket
	Kind   error  // one of the Err variables
	Err    error  // the cause, possibly nil

	operators bool // the operator's to mend, not the job's fault
}

func (e *Error) Error() string {
	where := "s3://" + e.Bucket
	if e.Key != "" {
		where += "/" + e.Key
	}
	msg := fmt.Sprintf("%s %s: %v", e.Op, where, e.Kind)
	if e.Err != nil {
		msg += ": " + e.Err.Error()
	}
	return msg
}

// Is reports whether target is the kind of the error.
func (e *Error) Is(target error) bool { return target == e.Kind }

func (e *Error) Unwrap() error { return e.Err }

// fail classifies err, which the store's client or the network returned, and
// says what was being done to which object. When ctx has ended, that is the
// reason, whatever err says.
func (s *Store) fail(ctx context.Context, op, bucket, key string, err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	e := &Error{Op: op, Bucket: bucket, Key: key, Kind: ErrUnavailable, Err: err}
	// Asked of ctx and not of err: a network's timeout looks like a deadline too.
	if ctx.Err() != nil {
		return fmt.Errorf("%s s3://%s/%s: %w", op, bucket, key, context.Cause(ctx))
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		if k := diskKind(err); k != nil {
			e.Kind = k
		}
		return e
	}
	switch r.Code {
	case "NoSuchKey", "NoSuchVersion", "NoSuchUpload":
		e.Kind = ErrNotFound
	case "NoSuchBucket":
		e.Kind = ErrNotFound
		e.Err = fmt.Errorf("no such bucket: %w", err)
		e.operators = bucket == s.cfg.Bucket
	case "PreconditionFailed", "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
		e.Kind = ErrExists
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
		"RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "InvalidRegion":
		e.Kind = ErrCredentials
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		e.Kind = ErrAccess
	case "EntityTooLarge", "MaxMessageLengthExceeded":
		e.Kind = ErrTooLarge
	case "KeyTooLongError", "InvalidBucketName", "XMinioInvalidObjectName", "InvalidURI":
		e.Kind = ErrInvalidName
	case "BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch":
		// The bytes changed on their way or while they were read: sending
		// them again may help.
		e.Kind = ErrUnavailable
	default:
		switch r.StatusCode {
		case http.StatusNotFound:
			e.Kind = ErrNotFound
		case http.StatusPreconditionFailed:
			e.Kind = ErrExists
		case http.StatusForbidden:
			e.Kind = ErrAccess
		}
	}
	return e
}

// diskKind maps an error of the file system to a kind, nil when it is none.
func diskKind(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrNoSpace
	case errors.Is(err, fs.ErrNotExist):
		return ErrNotFound
	}
	return nil
}

// diskError says what was done to which file and, for a full disk, what to do.
func diskError(op, path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNoSpace):
		return err
	case errors.Is(diskKind(err), ErrNoSpace):
		return fmt.Errorf("%s %s: %w: %w; free space on that file system or give the worker a larger one", op, path, ErrNoSpace, err)
	default:
		return fmt.Errorf("%s %s: %w", op, path, err)
	}
}
