package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/minio/minio-go/v7"
)

// putContent uploads size bytes of r, known to have digest d, in one request or
// in parts by size. The server verifies each request against the SHA-256 that
// it is signed over, so content that changed since it was hashed is refused and
// nothing is left behind.
func (s *Store) putContent(ctx context.Context, bucket, key string, d Digest, size int64, r io.ReaderAt) error {
	if size >= s.cfg.MultipartAbove {
		return s.putParts(ctx, bucket, key, d, size, r)
	}
	return s.putSigned(ctx, bucket, key, r, size, d.Hex(), minio.PutObjectOptions{})
}

// putSigned uploads size bytes of r, whose SHA-256 is sum, in one request.
func (s *Store) putSigned(ctx context.Context, bucket, key string, r io.ReaderAt, size int64, sum string, opts minio.PutObjectOptions) error {
	bucket = s.bucket(bucket)
	if err := checkKey(key); err != nil {
		return err
	}
	// Without this minio-go signs a stream of chunks instead of the one hash.
	opts.DisableContentSha256 = true
	return s.try(ctx, func() error {
		_, err := s.puts.PutObject(ctx, bucket, key, io.NewSectionReader(r, 0, size), size, "", sum, opts)
		return s.fail(ctx, "put", bucket, key, err)
	})
}

// putParts is a multipart upload with every part signed over its own hash.
func (s *Store) putParts(ctx context.Context, bucket, key string, d Digest, size int64, r io.ReaderAt) (err error) {
	bucket = s.bucket(bucket)
	if err := checkKey(key); err != nil {
		return err
	}
	upload, err := s.puts.NewMultipartUpload(ctx, bucket, key, minio.PutObjectOptions{})
	if err != nil {
		return s.fail(ctx, "put", bucket, key, err)
	}
	defer func() {
		if err == nil {
			return
		}
		cleanup, cancel := cleanupContext(ctx)
		defer cancel()
		// What cannot be aborted is left to the bucket's lifecycle rule.
		_ = s.puts.AbortMultipartUpload(cleanup, bucket, key, upload)
	}()
	whole := sha256.New()
	var parts []minio.CompletePart
	step := max(partSize, (size+9_999)/10_000) // S3 allows 10,000 parts
	for off := int64(0); off < size; off += step {
		n := min(step, size-off)
		part := sha256.New()
		if _, err := io.Copy(io.MultiWriter(whole, part), io.NewSectionReader(r, off, n)); err != nil {
			return fmt.Errorf("put %s: read: %w", key, err)
		}
		opts := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(part.Sum(nil)), DisableContentSha256: true}
		var done minio.ObjectPart
		err := s.try(ctx, func() error {
			var err error
			done, err = s.puts.PutObjectPart(ctx, bucket, key, upload, len(parts)+1, io.NewSectionReader(r, off, n), n, opts)
			return s.fail(ctx, "put part", bucket, key, err)
		})
		if err != nil {
			return err
		}
		parts = append(parts, minio.CompletePart{PartNumber: done.PartNumber, ETag: done.ETag})
	}
	if got := newDigest([sha256.Size]byte(whole.Sum(nil))); got != d {
		return fmt.Errorf("put %s: %w: the content changed while it was read: now %s, was %s", key, ErrDigestMismatch, got, d)
	}
	_, err = s.puts.CompleteMultipartUpload(ctx, bucket, key, upload, parts, minio.PutObjectOptions{})
	return s.fail(ctx, "put", bucket, key, err)
}

// try calls op until it succeeds, fails for good, or was tried often enough.
//
// Uploads are retried here and not by minio-go: it rewinds the one reader for
// the next try while the transport may still be reading it for the last. Each
// try of op makes a reader of its own.
func (s *Store) try(ctx context.Context, op func() error) error {
	for n := 1; ; n++ {
		err := op()
		if err == nil || n >= s.cfg.Tries || ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return err
		}
		// Full jitter up to 100 ms, 200 ms, 400 ms ... 2 s.
		wait := time.NewTimer(rand.N(min(2*time.Second, 100*time.Millisecond<<(n-1))))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}
