package artifacts

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Directory keeps files as <root>/<owner>/<digest>. Processes that share the
// directory share the files.
type Directory struct{ Root string }

var _ Store = Directory{}

// Put writes beside its place and renames, so that a crash leaves no half file
// under a digest.
func (d Directory) Put(ctx context.Context, owner string, content io.ReadSeeker) (Object, error) {
	o, err := describe(owner, content)
	if err != nil {
		return o, err
	}
	if err := ctx.Err(); err != nil {
		return o, away(err, "no time was left to write")
	}
	dir := filepath.Join(d.Root, owner)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return o, away(err, "the directory cannot be made")
	}
	return o, away(write(dir, o.Digest, content), "the file cannot be written")
}

func write(dir, name string, content io.Reader) (err error) {
	f, err := os.CreateTemp(dir, ".incoming-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = io.Copy(f, content)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return err
	}
	// The name must outlive a crash as well: the upload is answered next.
	parent, err := os.Open(dir) //nolint:gosec // the owner was checked to be one segment
	if err != nil {
		return err
	}
	err = parent.Sync()
	return errors.Join(err, parent.Close())
}

// Get reads <root>/<owner>/<digest>.
func (d Directory) Get(ctx context.Context, o Object) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, away(err, "no time was left to read")
	}
	f, err := os.Open(filepath.Join(d.Root, o.Owner, o.Digest)) //nolint:gosec // both were checked to be one segment
	if errors.Is(err, fs.ErrNotExist) {
		return nil, NotFound.New("there is no file %s of %s in %s", o.Digest, o.Owner, d.Root)
	}
	if err != nil {
		return nil, away(err, "the file cannot be opened")
	}
	defer func() { _ = f.Close() }()
	return verified(o, f)
}

// Remove deletes the owner's directory.
func (d Directory) Remove(_ context.Context, owner string) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	return away(os.RemoveAll(filepath.Join(d.Root, owner)), "the files cannot be removed")
}
