package artifacts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/minio/minio-go/v7"
)

// blobPrefix is where blobs live in the configured bucket. Nothing else writes
// there, and no tenant's rule reaches it: see [Access].
const blobPrefix = "blobs/sha256/"

// PutBlob stores size bytes of r under their digest and returns it. A blob that
// is already there with that size is not sent again.
func (s *Store) PutBlob(ctx context.Context, r io.ReaderAt, size int64) (Digest, error) {
	d, n, err := DigestReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return "", fmt.Errorf("put blob: read: %w", err)
	}
	if n != size {
		return "", fmt.Errorf("put blob: %w: %d bytes, not the %d that were announced", ErrInvalid, n, size)
	}
	_, err = s.putKnownBlob(ctx, d, size, r)
	return d, err
}

// PutBlobBytes is PutBlob of a slice.
func (s *Store) PutBlobBytes(ctx context.Context, b []byte) (Digest, error) {
	return s.PutBlob(ctx, bytes.NewReader(b), int64(len(b)))
}

// PutBlobFile is PutBlob of a regular file. It also returns the size.
func (s *Store) PutBlobFile(ctx context.Context, path string) (Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", 0, fmt.Errorf("put blob: %w", err)
	}
	if !st.Mode().IsRegular() {
		return "", 0, fmt.Errorf("put blob %s: %w: not a regular file but %s", path, ErrInvalid, st.Mode().Type())
	}
	d, err := s.PutBlob(ctx, f, st.Size())
	if err != nil {
		return "", 0, fmt.Errorf("put blob %s: %w", path, err)
	}
	return d, st.Size(), nil
}

// putKnownBlob uploads unless the blob is there, and says whether it did.
func (s *Store) putKnownBlob(ctx context.Context, d Digest, size int64, r io.ReaderAt) (sent bool, err error) {
	obj, err := s.Stat(ctx, "", d.Key())
	if err == nil && obj.Size == size {
		return false, nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	if err != nil && size < s.cfg.MultipartAbove {
		// It is not there: add it, and replace nothing. A store's policy may ask
		// tenants for the condition, so that nobody spoils another's blob.
		var opts minio.PutObjectOptions
		opts.SetMatchETagExcept("*")
		err := s.putSigned(ctx, "", d.Key(), r, size, d.Hex(), opts)
		if errors.Is(err, ErrExists) {
			return false, nil // somebody was quicker
		}
		return true, err
	}
	return true, s.putContent(ctx, "", d.Key(), d, size, r)
}

// GetBlob copies the blob to w and verifies it on the way: it returns nil only
// if exactly the content of d was written. After any error what w has received
// must be thrown away. A blob of more than limit bytes is ErrTooLarge.
func (s *Store) GetBlob(ctx context.Context, d Digest, limit int64, w io.Writer) (int64, error) {
	body, obj, err := s.open(ctx, "", d.Key(), limit)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return s.copyVerified(ctx, d, obj.Size, w, body)
}

// copyVerified copies the body of blob d, of the length that the store
// announced, to w.
func (s *Store) copyVerified(ctx context.Context, d Digest, size int64, w io.Writer, body io.Reader) (int64, error) {
	v := &verifier{hash: sha256.New()}
	n, err := s.copyBody(ctx, s.cfg.Bucket, d.Key(), io.MultiWriter(w, v), body)
	if err != nil {
		return n, err
	}
	if n != size {
		return n, s.fail(ctx, "get", s.cfg.Bucket, d.Key(), fmt.Errorf("%d of %d bytes arrived: %w", n, size, io.ErrUnexpectedEOF))
	}
	if err := v.check(d, n); err != nil {
		return n, &Error{Op: "get", Bucket: s.cfg.Bucket, Key: d.Key(), Kind: ErrDigestMismatch, Err: err}
	}
	return n, nil
}

// verifier hashes what is written to it.
type verifier struct {
	hash hash.Hash
	n    int64
}

func (v *verifier) Write(p []byte) (int, error) {
	v.n += int64(len(p))
	return v.hash.Write(p)
}

func (v *verifier) check(want Digest, size int64) error {
	got := newDigest([sha256.Size]byte(v.hash.Sum(nil)))
	if got != want || v.n != size {
		return fmt.Errorf("%w: %d bytes of %s, want %d of %s", ErrDigestMismatch, v.n, got, size, want)
	}
	return nil
}
