package artifacts_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/testkit/moto"
)

// conforms is what both stores must do.
func conforms(t *testing.T, s artifacts.Store) {
	t.Helper()
	ctx := t.Context()
	put := func(owner, text string) artifacts.Object {
		o, err := s.Put(ctx, owner, strings.NewReader(text))
		require.NoError(t, err)
		return o
	}
	one := put("session-1", "a model")
	require.Equal(t, "session-1", one.Owner)
	require.Equal(t, int64(7), one.Size)
	require.Equal(t, one, put("session-1", "a model"), "the same content twice is one file")
	two := put("session-2", "a model")
	require.Equal(t, one.Digest, two.Digest)

	got, err := s.Get(ctx, one)
	require.NoError(t, err)
	require.Equal(t, "a model", string(got))

	require.NoError(t, s.Remove(ctx, "session-1"))
	require.NoError(t, s.Remove(ctx, "session-1"), "nothing there is success")
	_, err = s.Get(ctx, one)
	require.Equal(t, artifacts.NotFound, fault.CodeOf(err), "%v", err)
	got, err = s.Get(ctx, two)
	require.NoError(t, err, "two sessions never share a file")
	require.Equal(t, "a model", string(got))

	empty := put("session-2", "")
	got, err = s.Get(ctx, empty)
	require.NoError(t, err)
	require.Empty(t, got)

	for _, owner := range []string{"", "..", "a/b", "-x", strings.Repeat("x", 65)} {
		_, err = s.Put(ctx, owner, strings.NewReader("x"))
		require.Equal(t, artifacts.InvalidKey, fault.CodeOf(err), owner)
		require.Equal(t, artifacts.InvalidKey, fault.CodeOf(s.Remove(ctx, owner)), owner)
	}
	_, err = s.Get(ctx, artifacts.Object{Owner: "session-2", Digest: "../../etc/passwd"})
	require.Equal(t, artifacts.InvalidKey, fault.CodeOf(err))

	_, err = s.Put(ctx, "session-3", &zeros{size: artifacts.MaxSize + 1})
	require.Equal(t, artifacts.TooLarge, fault.CodeOf(err), "%v", err)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.Get(ended, two)
	require.Equal(t, fault.Unavailable, fault.KindOf(err), "%v", err)
}

// zeros is a large file without the memory.
type zeros struct{ at, size int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.at >= z.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), z.size-z.at)
	clear(p[:n])
	z.at += n
	return int(n), nil
}

func (z *zeros) Seek(offset int64, _ int) (int64, error) { z.at = offset; return offset, nil }

func TestDirectory(t *testing.T) {
	t.Parallel()
	root := filepath.Join(t.TempDir(), "new", "place")
	s, err := artifacts.Open(t.Context(), artifacts.Options{URL: root})
	require.NoError(t, err)
	conforms(t, s)

	o, err := s.Put(t.Context(), "bad-disk", strings.NewReader("as it was"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "bad-disk", o.Digest), []byte("as it is!"), 0o600))
	_, err = s.Get(t.Context(), o)
	require.Equal(t, artifacts.Corrupt, fault.CodeOf(err), "%v", err)

	left, err := filepath.Glob(filepath.Join(root, "*", ".incoming-*"))
	require.NoError(t, err)
	require.Empty(t, left, "no half files are left")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = artifacts.Directory{Root: file}.Put(t.Context(), "x", strings.NewReader("x"))
	require.Equal(t, artifacts.Unavailable, fault.CodeOf(err), "%v", err)
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "gs://bucket", "s3://", "http://h/p"} {
		_, err := artifacts.Open(t.Context(), artifacts.Options{URL: bad})
		require.Equal(t, artifacts.BadAddress, fault.CodeOf(err), bad)
	}
}

// TestBucket runs against the S3 of moto, a double that was not written here.
func TestBucket(t *testing.T) {
	t.Parallel()
	endpoint := moto.Start(t)
	who := credentials.NewStaticCredentialsProvider("x", "x", "")
	api := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &endpoint, UsePathStyle: true, Credentials: who})
	_, err := api.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("models")})
	require.NoError(t, err)
	s, err := artifacts.Open(t.Context(), artifacts.Options{
		URL:         "s3://models/a/prefix",
		Region:      "us-east-1",
		Endpoint:    endpoint,
		Credentials: who,
	})
	require.NoError(t, err)
	conforms(t, s)

	o, err := s.Put(t.Context(), "tampered", strings.NewReader("as it was"))
	require.NoError(t, err)
	_, err = api.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String("models"),
		Key:    aws.String("a/prefix/tampered/" + o.Digest),
		Body:   bytes.NewReader([]byte("as it is!")),
	})
	require.NoError(t, err, "files live where the URL says")
	_, err = s.Get(t.Context(), o)
	require.Equal(t, artifacts.Corrupt, fault.CodeOf(err), "%v", err)

	nowhere, err := artifacts.Open(t.Context(), artifacts.Options{
		URL:         "s3://no-such-bucket",
		Region:      "us-east-1",
		Endpoint:    endpoint,
		Credentials: who,
	})
	require.NoError(t, err)
	_, err = nowhere.Put(t.Context(), "x", strings.NewReader("x"))
	require.Equal(t, artifacts.Unavailable, fault.CodeOf(err), "%v", err)
}
