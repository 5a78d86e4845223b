package artifacts

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Bucket keeps files as s3://<bucket>/<prefix>/<owner>/<digest>.
type Bucket struct {
	api    *s3.Client
	name   string
	prefix string
}

var _ Store = (*Bucket)(nil)

// callTimeout bounds one request to S3 where the caller sets no earlier deadline:
// 100 MiB at 1 MiB/s.
const callTimeout = 100 * time.Second

func newBucket(ctx context.Context, o Options, name, prefix string) (*Bucket, error) {
	load := []func(*config.LoadOptions) error{config.WithRegion(o.Region)}
	if o.Credentials != nil {
		load = append(load, config.WithCredentialsProvider(o.Credentials))
	}
	base, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, BadAddress.Wrap(err, "the AWS configuration cannot be read")
	}
	api := s3.NewFromConfig(base, func(s *s3.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
			s.UsePathStyle = true // other S3s rarely have a name per bucket
		}
	})
	return &Bucket{api: api, name: name, prefix: prefix}, nil
}

func (b *Bucket) key(owner, digest string) *string {
	return aws.String(path.Join(b.prefix, owner, digest))
}

// Put sends the digest along, so that S3 refuses what was damaged on the way.
func (b *Bucket) Put(ctx context.Context, owner string, content io.ReadSeeker) (Object, error) {
	o, err := describe(owner, content)
	if err != nil {
		return o, err
	}
	sum, err := hex.DecodeString(o.Digest)
	if err != nil {
		return o, InvalidKey.Wrap(err, "%q is not the digest of a file", o.Digest)
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err = b.api.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.name, Key: b.key(owner, o.Digest), Body: content, ContentLength: &o.Size,
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum)),
	})
	return o, away(err, "the file cannot be written")
}

// Get reads the object as a whole.
func (b *Bucket) Get(ctx context.Context, o Object) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	got, err := b.api.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: b.key(o.Owner, o.Digest)})
	if _, absent := errors.AsType[*types.NoSuchKey](err); absent {
		return nil, NotFound.Wrap(err, "there is no file %s of %s in the bucket %s", o.Digest, o.Owner, b.name)
	}
	if err != nil {
		return nil, away(err, "the file cannot be read")
	}
	defer func() { _ = got.Body.Close() }()
	return verified(o, got.Body)
}

// Remove deletes the owner's objects, page by page.
func (b *Bucket) Remove(ctx context.Context, owner string) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pages := s3.NewListObjectsV2Paginator(b.api, &s3.ListObjectsV2Input{
		Bucket: &b.name,
		Prefix: aws.String(path.Join(b.prefix, owner) + "/"),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return away(err, "the files cannot be listed")
		}
		for _, object := range page.Contents {
			if _, err := b.api.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: object.Key}); err != nil {
				return away(err, "a file cannot be removed")
			}
		}
	}
	return nil
}
