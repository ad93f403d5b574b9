package artifacts

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Config says where the object store is and how to talk to it. It never prints
// its secret.
type Config struct {
	// Endpoint is host:port, or a URL "http://host:port" or "https://host:port",
	// whose scheme then decides Secure.
	Endpoint string
	// Secure uses TLS.
	Secure bool
	// Region requests are signed for. Given, so that no request is spent on
	// asking the server. Default "us-east-1".
	Region string
	// AccessKey and SecretKey are the worker's (or the submitter's) own.
	AccessKey string
	SecretKey Secret
	// SessionToken goes with temporary credentials; usually empty.
	SessionToken Secret
	// Bucket holds blobs, tools and everything else that boxfleet names itself.
	// Default "boxfleet".
	Bucket string
	// CAFile holds the certificates (PEM) of the authorities that may sign the
	// server's, instead of the system's. It is read when the store is opened.
	CAFile string
	// VirtualHost puts the bucket into the host name. The default is the path,
	// which every server understands.
	VirtualHost bool
	// StallTimeout ends a request when no byte moved in either direction for so
	// long. There is no bound on a transfer that moves. Default 30 s.
	StallTimeout time.Duration
	// Tries is how often the client sends one request before it reports a
	// transient failure; the caller's own backoff goes on from there. Default 3.
	Tries int
	// Parallel bounds the simultaneous transfers of one Stage, Collect, PutTree
	// or DeletePrefix. Default 8.
	Parallel int
	// MultipartAbove is the size in bytes from which an upload is cut into parts.
	// Default 64 MiB; parts are 16 MiB.
	MultipartAbove int64
}

// Secret is a string that prints as "redacted".
type Secret string

// String hides the secret from %s and %v.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "redacted"
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

const partSize = 16 << 20

// WithDefaults returns cfg with empty fields filled in.
func (cfg Config) WithDefaults() Config {
	if rest, ok := strings.CutPrefix(cfg.Endpoint, "http://"); ok {
		cfg.Endpoint, cfg.Secure = strings.TrimSuffix(rest, "/"), false
	} else if rest, ok := strings.CutPrefix(cfg.Endpoint, "https://"); ok {
		cfg.Endpoint, cfg.Secure = strings.TrimSuffix(rest, "/"), true
	}
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.Bucket == "" {
		cfg.Bucket = "boxfleet"
	}
	if cfg.StallTimeout == 0 {
		cfg.StallTimeout = 30 * time.Second
	}
	if cfg.Tries == 0 {
		cfg.Tries = 3
	}
	if cfg.Parallel == 0 {
		cfg.Parallel = 8
	}
	if cfg.MultipartAbove == 0 {
		cfg.MultipartAbove = 64 << 20
	}
	return cfg
}

// Validate reports every field that cannot work, by name. It expects defaults
// to be filled in.
func (cfg Config) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("storage %s: "+format, append([]any{field}, args...)...))
	}
	switch {
	case cfg.Endpoint == "":
		bad("Endpoint", "is empty; give host:port or a URL such as http://127.0.0.1:9000")
	case strings.Contains(cfg.Endpoint, "://"):
		bad("Endpoint", "%q: only http:// and https:// are understood", cfg.Endpoint)
	case strings.ContainsAny(cfg.Endpoint, "/?#@ "):
		bad("Endpoint", "%q: give host:port alone, without path or user", cfg.Endpoint)
	default:
		host := cfg.Endpoint
		if h, _, err := net.SplitHostPort(cfg.Endpoint); err == nil {
			host = h
		}
		if host == "" {
			bad("Endpoint", "%q has no host", cfg.Endpoint)
		}
	}
	if cfg.AccessKey == "" {
		bad("AccessKey", "is empty")
	}
	if cfg.SecretKey == "" {
		bad("SecretKey", "is empty")
	}
	if err := checkBucket(cfg.Bucket); err != nil {
		bad("Bucket", "%w", err)
	}
	if cfg.StallTimeout < 0 {
		bad("StallTimeout", "%v is negative", cfg.StallTimeout)
	}
	if cfg.Tries < 1 || cfg.Tries > 20 {
		bad("Tries", "%d is not between 1 and 20", cfg.Tries)
	}
	if cfg.Parallel < 1 || cfg.Parallel > 256 {
		bad("Parallel", "%d is not between 1 and 256", cfg.Parallel)
	}
	if cfg.MultipartAbove < partSize || cfg.MultipartAbove > 5<<30 {
		bad("MultipartAbove", "%d is not between %d and %d bytes", cfg.MultipartAbove, partSize, int64(5)<<30)
	}
	return errors.Join(errs...)
}

// checkBucket applies S3's naming rules to a bucket name.
func checkBucket(name string) error {
	if err := s3utils.CheckValidBucketNameStrict(name); err != nil {
		return fmt.Errorf("bucket %q: %w: %w", name, ErrInvalidName, err)
	}
	return nil
}
