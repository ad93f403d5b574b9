package artifacts

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Digest names content: "sha256:" and 64 lower-case hexadecimal digits.
type Digest string

const digestPrefix = "sha256:"

// ParseDigest checks s. Upper-case digits are refused, so that one content has
// one name.
func ParseDigest(s string) (Digest, error) {
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok {
		return "", fmt.Errorf("digest %.80q: %w: it must start with %q", s, ErrInvalidName, digestPrefix)
	}
	if len(digits) != 2*sha256.Size {
		return "", fmt.Errorf("digest %.80q: %w: %d digits after %q, want %d", s, ErrInvalidName, len(digits), digestPrefix, 2*sha256.Size)
	}
	for _, c := range []byte(digits) {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return "", fmt.Errorf("digest %q: %w: %q is not a lower-case hexadecimal digit", s, ErrInvalidName, c)
		}
	}
	return Digest(s), nil
}

// DigestBytes returns the digest of b.
func DigestBytes(b []byte) Digest {
	return newDigest(sha256.Sum256(b))
}

// DigestReader reads r to its end and returns its digest and length.
func DigestReader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return "", n, err
	}
	return newDigest([sha256.Size]byte(h.Sum(nil))), n, nil
}

func newDigest(sum [sha256.Size]byte) Digest {
	return Digest(digestPrefix + hex.EncodeToString(sum[:]))
}

// Hex returns the digits alone.
func (d Digest) Hex() string { return strings.TrimPrefix(string(d), digestPrefix) }

// Key is the object key of the blob with this digest, in the configured bucket.
func (d Digest) Key() string { return blobPrefix + d.Hex() }

// Short is enough of the digest for people.
func (d Digest) Short() string {
	if len(d) < len(digestPrefix)+12 {
		return string(d)
	}
	return string(d[:len(digestPrefix)+12])
}

func (d Digest) String() string { return string(d) }
