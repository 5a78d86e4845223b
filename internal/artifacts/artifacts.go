// Package artifacts keeps uploaded files by their content: in a directory, or in
// S3. A file is kept under its owner, an upload, so that two uploads never share
// one and removing either does not affect the other.
package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/url"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"spotkeeper/internal/domain/fault"
)

// Ways to fail.
var (
	BadAddress  = fault.Define("artifacts.bad_address", fault.Invalid)     // ARTIFACTS_URL means nothing
	InvalidKey  = fault.Define("artifacts.bad_key", fault.Invalid)         // not an owner, or not a digest
	TooLarge    = fault.Define("artifacts.too_large", fault.TooLarge)      // a file above MaxSize
	NotFound    = fault.Define("artifacts.not_found", fault.NotFound)      // no such file under that owner
	Corrupt     = fault.Define("artifacts.corrupt", fault.Conflict)        // what is stored is not what was put
	Unavailable = fault.Define("artifacts.unavailable", fault.Unavailable) // the disk or S3 does not answer
)

// MaxSize is the largest file that is kept: what an upload may hold altogether.
const MaxSize = 100 << 20

// Object names one file: its owner, the SHA-256 of its content in hex, and how
// large it is.
type Object struct {
	Owner  string `json:"owner"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

// Store keeps files. Both implementations are safe for concurrent use and for use
// by many processes at once: a file is there as a whole or not at all.
type Store interface {
	// Put keeps a file under its owner. The same content twice is one file, so a
	// repeated upload is harmless. Fails with artifacts.too_large,
	// artifacts.bad_key and artifacts.unavailable.
	Put(ctx context.Context, owner string, content io.ReadSeeker) (Object, error)
	// Get reads a file and proves that it is what was put. Fails with
	// artifacts.not_found, artifacts.corrupt and artifacts.unavailable.
	Get(ctx context.Context, o Object) ([]byte, error)
	// Remove deletes everything of an owner; nothing there is success. Fails
	// with artifacts.unavailable.
	Remove(ctx context.Context, owner string) error
}

// Options say where files live.
type Options struct {
	URL         string                  // a directory, or s3://bucket/prefix
	Region      string                  // of the bucket
	Endpoint    string                  // another S3; empty: AWS's
	Credentials aws.CredentialsProvider // nil: the SDK's own chain
}

// Open returns the store that a URL names. It makes no call yet. Fails with
// artifacts.bad_address.
func Open(ctx context.Context, o Options) (Store, error) {
	if !strings.Contains(o.URL, "://") {
		if o.URL == "" {
			return nil, BadAddress.New("ARTIFACTS_URL is empty: it must be a directory or s3://bucket/prefix")
		}
		return Directory{Root: o.URL}, nil
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, BadAddress.New("ARTIFACTS_URL must be a directory or s3://bucket/prefix, not %q", o.URL)
	}
	return newBucket(ctx, o, u.Host, strings.Trim(u.Path, "/"))
}

var (
	ownerForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`) // so it is one path segment and cannot climb
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func checkOwner(owner string) error {
	if !ownerForm.MatchString(owner) {
		return InvalidKey.New("%q cannot own files", owner)
	}
	return nil
}

func (o Object) check() error {
	if err := checkOwner(o.Owner); err != nil {
		return err
	}
	if !digestForm.MatchString(o.Digest) {
		return InvalidKey.New("%q is not the digest of a file", o.Digest)
	}
	return nil
}

// describe reads a file once, so that it is stored under its digest, and goes
// back to its beginning.
func describe(owner string, content io.ReadSeeker) (Object, error) {
	if err := checkOwner(owner); err != nil {
		return Object{}, err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, io.LimitReader(content, MaxSize+1))
	if err == nil {
		_, err = content.Seek(0, io.SeekStart)
	}
	if err != nil {
		return Object{}, Unavailable.Wrap(err, "the file could not be read")
	}
	if size > MaxSize {
		return Object{}, TooLarge.New("a file may have %d MiB at most", MaxSize>>20)
	}
	return Object{Owner: owner, Digest: hex.EncodeToString(hash.Sum(nil)), Size: size}, nil
}

// verified reads all of r and compares it with what was put.
func verified(o Object, r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	if err != nil {
		return nil, Unavailable.Wrap(err, "the file %s could not be read", o.Digest)
	}
	sum := sha256.Sum256(data)
	if hex.EncodeToString(sum[:]) != o.Digest || o.Size > 0 && int64(len(data)) != o.Size {
		return nil, Corrupt.New("the stored file %s of %s is not what was uploaded: upload it again", o.Digest, o.Owner)
	}
	return data, nil
}

// away says that the store did not answer; a fault passes as it is.
func away(err error, what string) error {
	if err == nil {
		return nil
	}
	if f, coded := errors.AsType[*fault.Error](err); coded {
		return f
	}
	return Unavailable.Wrap(err, "the store of uploaded files is not available: %s", what)
}
