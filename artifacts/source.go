package artifacts

import (
	"fmt"
	"strings"
)

// Source names a directory: everything under a prefix of a bucket, or a tree.
// Exactly one of Tree and Bucket is set.
type Source struct {
	Bucket string
	Prefix string // "" or ends in a slash
	Tree   Digest
}

// ParseSource understands "s3://bucket/prefix/", whose last slash may be left
// out, and "sha256:<hex>", a tree's digest.
func ParseSource(s string) (Source, error) {
	if strings.HasPrefix(s, digestPrefix) {
		d, err := ParseDigest(s)
		if err != nil {
			return Source{}, fmt.Errorf("source: %w", err)
		}
		return Source{Tree: d}, nil
	}
	bucket, key, err := ParseObject(s)
	if err != nil {
		return Source{}, fmt.Errorf("source: %w", err)
	}
	if key != "" && !strings.HasSuffix(key, "/") {
		key += "/"
	}
	if key != "" {
		if err := CheckPath(strings.TrimSuffix(key, "/")); err != nil {
			return Source{}, fmt.Errorf("source %q: %w", s, err)
		}
	}
	return Source{Bucket: bucket, Prefix: key}, nil
}

// ParseObject splits "s3://bucket/key". The key may be empty.
func ParseObject(s string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return "", "", fmt.Errorf("reference %.200q: %w: want s3://bucket/prefix/ or sha256:<digest>", s, ErrInvalidName)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	if err := checkBucket(bucket); err != nil {
		return "", "", fmt.Errorf("reference %.200q: %w", s, err)
	}
	if key != "" {
		if err := checkKey(key); err != nil {
			return "", "", fmt.Errorf("reference %.200q: %w", s, err)
		}
	}
	return bucket, key, nil
}

func (s Source) String() string {
	if s.Tree != "" {
		return string(s.Tree)
	}
	return "s3://" + s.Bucket + "/" + s.Prefix
}

// IsTree reports whether the source is content-addressed: the same for ever,
// and so cacheable.
func (s Source) IsTree() bool { return s.Tree != "" }
