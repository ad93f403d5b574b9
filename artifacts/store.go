package artifacts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Store is a client of one S3 endpoint. It is safe for concurrent use. Methods
// that take a bucket use the configured one when it is empty.
type Store struct {
	cfg       Config
	core      minio.Core // requests without a body, retried by the client
	puts      minio.Core // uploads, retried by try
	transport *http.Transport
}

// Open returns a client for cfg without touching the network: a worker must be
// able to start before its storage. Close it to drop idle connections.
func Open(cfg Config) (*Store, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupPath
	if cfg.VirtualHost {
		lookup = minio.BucketLookupDNS
	}
	transport := newTransport(cfg)
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("storage CAFile: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("storage CAFile %s: %w: it holds no certificate", cfg.CAFile, ErrInvalid)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	client := func(tries int) (minio.Core, error) {
		c, err := minio.New(cfg.Endpoint, &minio.Options{
			Creds:        credentials.NewStaticV4(cfg.AccessKey, string(cfg.SecretKey), string(cfg.SessionToken)),
			Secure:       cfg.Secure,
			Region:       cfg.Region,
			BucketLookup: lookup,
			Transport:    transport,
			MaxRetries:   tries,
		})
		if err != nil {
			return minio.Core{}, fmt.Errorf("storage Endpoint %q: %w", cfg.Endpoint, err)
		}
		c.SetAppInfo("boxfleet", "1")
		return minio.Core{Client: c}, nil
	}
	core, err := client(cfg.Tries)
	if err != nil {
		return nil, err
	}
	puts, err := client(1)
	if err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, core: core, puts: puts, transport: transport}, nil
}

// Close drops idle connections. Requests in flight end by themselves.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// Bucket is the configured bucket.
func (s *Store) Bucket() string { return s.cfg.Bucket }

// Endpoint is the configured host:port.
func (s *Store) Endpoint() string { return s.cfg.Endpoint }

func (s *Store) bucket(name string) string {
	if name == "" {
		return s.cfg.Bucket
	}
	return name
}

// Ping asks for one key of the configured bucket and says what is wrong:
// unreachable (ErrUnavailable), bad credentials (ErrCredentials), no right to
// the bucket (ErrAccess) or no such bucket (ErrNotFound).
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for o := range s.core.ListObjectsIter(ctx, s.cfg.Bucket, minio.ListObjectsOptions{MaxKeys: 1}) {
		if o.Err == nil {
			return nil
		}
		err := s.fail(ctx, "ping", s.cfg.Bucket, "", o.Err)
		switch {
		case errors.Is(err, ErrCredentials):
			return fmt.Errorf("storage at %s refuses the access key %q, its secret or the region %q: %w", s.cfg.Endpoint, s.cfg.AccessKey, s.cfg.Region, err)
		case errors.Is(err, ErrNotFound):
			return fmt.Errorf("storage at %s has no bucket %q: create it or name another: %w", s.cfg.Endpoint, s.cfg.Bucket, err)
		case errors.Is(err, ErrUnavailable):
			return fmt.Errorf("storage at %s cannot be reached: %w", s.cfg.Endpoint, err)
		}
		return err
	}
	return ctx.Err() // an empty bucket lists nothing
}

// EnsureBucket makes the configured bucket when it does not exist.
func (s *Store) EnsureBucket(ctx context.Context) error {
	ok, err := s.core.BucketExists(ctx, s.cfg.Bucket)
	if err == nil && ok {
		return nil
	}
	err = s.core.MakeBucket(ctx, s.cfg.Bucket, minio.MakeBucketOptions{Region: s.cfg.Region})
	if err := s.fail(ctx, "make bucket", s.cfg.Bucket, "", err); err != nil && !errors.Is(err, ErrExists) {
		return err
	}
	return nil
}

// newTransport returns connections that end when nothing moves for the stall
// timeout. A deadline for the whole request would instead cut a large transfer
// that makes progress, and one for the response's header alone would let a body
// hang for ever.
func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &stallConn{Conn: c, timeout: cfg.StallTimeout}, nil
		},
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConns:        256,
		MaxIdleConnsPerHost: 4 * cfg.Parallel,
		// Well below the stall timeout: an idle connection is closed by us
		// before its read deadline could fail a request about to use it.
		IdleConnTimeout:    cfg.StallTimeout / 2,
		DisableCompression: true, // an object is its bytes
	}
}

// stallConn pushes the connection's deadline forward whenever bytes move.
type stallConn struct {
	net.Conn
	timeout time.Duration
}

func (c *stallConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write also extends the read that is already waiting for the response.
func (c *stallConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
