package artifacts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"
)

// maxKey is the length in bytes of the longest object key (Amazon S3 User
// Guide, "Naming Amazon S3 objects").
const maxKey = 1024

// Object is what a listing or a Stat says about an object.
type Object struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
}

// Put stores body under key, replacing what is there. The request is signed
// over the body's SHA-256, so the server refuses a body that changed on its way.
func (s *Store) Put(ctx context.Context, bucket, key string, body []byte) error {
	return s.put(ctx, bucket, key, body, minio.PutObjectOptions{})
}

// PutIfAbsent stores body under key unless an object is there, in which case it
// fails with ErrExists. Of any number of callers exactly one succeeds. It is one
// request (If-None-Match: *), because a multipart upload cannot carry the
// condition.
//
// A caller whose response was lost may get ErrExists for its own object: compare
// what is stored before giving up.
func (s *Store) PutIfAbsent(ctx context.Context, bucket, key string, body []byte) error {
	var opts minio.PutObjectOptions
	opts.SetMatchETagExcept("*")
	return s.put(ctx, bucket, key, body, opts)
}

func (s *Store) put(ctx context.Context, bucket, key string, body []byte, opts minio.PutObjectOptions) error {
	sum := sha256.Sum256(body)
	return s.putSigned(ctx, bucket, key, bytes.NewReader(body), int64(len(body)), hex.EncodeToString(sum[:]), opts)
}

// Get returns the object's bytes, at most limit of them: a larger object is
// ErrTooLarge and none of it is read.
func (s *Store) Get(ctx context.Context, bucket, key string, limit int64) ([]byte, error) {
	body, obj, err := s.open(ctx, bucket, key, limit)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	buf := make([]byte, obj.Size)
	if _, err := io.ReadFull(body, buf); err != nil {
		return nil, s.fail(ctx, "get", s.bucket(bucket), key, bodyError(err))
	}
	return buf, nil
}

// GetTo copies the object to w and returns the bytes copied. More than limit is
// ErrTooLarge before the first byte.
func (s *Store) GetTo(ctx context.Context, bucket, key string, limit int64, w io.Writer) (int64, error) {
	body, obj, err := s.open(ctx, bucket, key, limit)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	n, err := s.copyBody(ctx, s.bucket(bucket), key, w, body)
	if err == nil && n != obj.Size {
		err = s.fail(ctx, "get", s.bucket(bucket), key, fmt.Errorf("%d of %d bytes arrived: %w", n, obj.Size, io.ErrUnexpectedEOF))
	}
	return n, err
}

// copyBody copies a response's body to w and tells the store's failures from
// those of w.
func (s *Store) copyBody(ctx context.Context, bucket, key string, w io.Writer, body io.Reader) (int64, error) {
	ew := &errWriter{w: w}
	n, err := io.Copy(ew, body)
	switch {
	case err == nil:
		return n, nil
	case ew.err != nil:
		return n, ew.err
	default:
		return n, s.fail(ctx, "get", bucket, key, bodyError(err))
	}
}

// errWriter remembers whether writing failed.
type errWriter struct {
	w   io.Writer
	err error
}

func (w *errWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

// bodyError keeps io.EOF, which net/http returns for some bodies cut short,
// from reading like a normal end.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// open starts reading an object of at most limit bytes.
func (s *Store) open(ctx context.Context, bucket, key string, limit int64) (io.ReadCloser, Object, error) {
	bucket = s.bucket(bucket)
	if err := checkKey(key); err != nil {
		return nil, Object{}, err
	}
	body, info, _, err := s.core.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return nil, Object{}, s.fail(ctx, "get", bucket, key, err)
	}
	if info.Size > limit {
		body.Close()
		return nil, Object{}, &Error{Op: "get", Bucket: bucket, Key: key, Kind: ErrTooLarge, Err: fmt.Errorf("%d bytes where %d are allowed", info.Size, limit)}
	}
	if info.Size < 0 {
		body.Close()
		return nil, Object{}, s.fail(ctx, "get", bucket, key, errors.New("the response has no length"))
	}
	return body, object(info, key), nil
}

// Stat returns the object's size and times, or ErrNotFound.
func (s *Store) Stat(ctx context.Context, bucket, key string) (Object, error) {
	bucket = s.bucket(bucket)
	if err := checkKey(key); err != nil {
		return Object{}, err
	}
	info, err := s.core.StatObject(ctx, bucket, key, minio.StatObjectOptions{})
	if err == nil {
		return object(info, key), nil
	}
	if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusForbidden {
		// A HEAD response has no body and so no reason: ask again by GET, to
		// tell refused credentials from a refused key.
		var opts minio.GetObjectOptions
		if opts.SetRange(0, 0) == nil {
			body, _, _, getErr := s.core.GetObject(ctx, bucket, key, opts)
			if getErr == nil {
				body.Close()
			} else {
				err = getErr
			}
		}
	}
	return Object{}, s.fail(ctx, "stat", bucket, key, err)
}

func object(info minio.ObjectInfo, key string) Object {
	return Object{Key: key, Size: info.Size, ETag: info.ETag, Modified: info.LastModified}
}

// List yields the objects whose key starts with prefix, in the store's order. It
// ends after the first error. Keys are as the store has them and may be hostile.
func (s *Store) List(ctx context.Context, bucket, prefix string) iter.Seq2[Object, error] {
	bucket = s.bucket(bucket)
	return func(yield func(Object, error) bool) {
		noOwner := false
		for info := range s.core.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, FetchOwner: &noOwner}) {
			if info.Err != nil {
				yield(Object{}, s.fail(ctx, "list", bucket, prefix, info.Err))
				return
			}
			if !yield(object(info, info.Key), nil) {
				return
			}
		}
		// The client ends a listing without a word when ctx ends.
		if err := ctx.Err(); err != nil {
			yield(Object{}, fmt.Errorf("list s3://%s/%s: %w", bucket, prefix, err))
		}
	}
}

// Delete removes an object. One that is not there is no error.
func (s *Store) Delete(ctx context.Context, bucket, key string) error {
	bucket = s.bucket(bucket)
	if err := checkKey(key); err != nil {
		return err
	}
	err := s.fail(ctx, "delete", bucket, key, s.core.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// DeletePrefix removes every object under prefix and returns how many went. The
// prefix must name a directory ("out/job/1/"): without its last slash it would
// take out/job/10/ along, and an empty one the bucket.
func (s *Store) DeletePrefix(ctx context.Context, bucket, prefix string) (int, error) {
	bucket = s.bucket(bucket)
	if prefix == "" || prefix == "/" || !strings.HasSuffix(prefix, "/") {
		return 0, fmt.Errorf("delete prefix %q of bucket %s: %w: it must be the name of a directory and end in a slash", prefix, bucket, ErrInvalidName)
	}
	var listErr error
	keys := func(yield func(minio.ObjectInfo) bool) {
		for o, err := range s.List(ctx, bucket, prefix) {
			if err != nil {
				listErr = err
				return
			}
			if !yield(minio.ObjectInfo{Key: o.Key}) {
				return
			}
		}
	}
	results, err := s.core.RemoveObjectsWithIter(ctx, bucket, keys, minio.RemoveObjectsOptions{})
	if err != nil {
		return 0, s.fail(ctx, "delete", bucket, prefix, err)
	}
	deleted := 0
	var errs []error
	for r := range results {
		switch {
		case r.Err == nil:
			deleted++
		case len(errs) < 10: // enough to see what is wrong
			errs = append(errs, s.fail(ctx, "delete", bucket, r.ObjectName, r.Err))
		}
	}
	if err := ctx.Err(); err != nil && listErr == nil {
		listErr = fmt.Errorf("delete s3://%s/%s: %w", bucket, prefix, err)
	}
	return deleted, errors.Join(append(errs, listErr)...)
}

// checkKey refuses keys that no server should be asked for.
func checkKey(key string) error {
	switch {
	case key == "":
		return fmt.Errorf("object key: %w: it is empty", ErrInvalidName)
	case len(key) > maxKey:
		return fmt.Errorf("object key %.64q...: %w: %d bytes, at most %d are allowed", key, ErrInvalidName, len(key), maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("object key %q: %w: not UTF-8", key, ErrInvalidName)
	case strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("object key %q: %w: it holds a NUL", key, ErrInvalidName)
	}
	return nil
}
