package artifacts

import (
	"context"

	"github.com/minio/minio-go/v7"
)

// Copy makes the store copy an object under another key, replacing what is
// there; the bytes do not pass through this process. Doing it again changes
// nothing.
func (s *Store) Copy(ctx context.Context, srcBucket, srcKey, dstBucket, dstKey string) error {
	srcBucket, dstBucket = s.bucket(srcBucket), s.bucket(dstBucket)
	if err := checkKey(srcKey); err != nil {
		return err
	}
	if err := checkKey(dstKey); err != nil {
		return err
	}
	_, err := s.core.Client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: dstBucket, Object: dstKey},
		minio.CopySrcOptions{Bucket: srcBucket, Object: srcKey})
	return s.fail(ctx, "copy", srcBucket, srcKey, err)
}
