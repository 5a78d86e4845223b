package control

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"

	"spotkeeper/api/web"
	"spotkeeper/internal/artifacts"
	"spotkeeper/internal/domain/mlmodel"
)

// How an upload is read.
const (
	uploadPart  = "files"
	mostUpload  = artifacts.MaxSize // of all files together, and what surrounds them
	mostDrained = 4 * artifacts.MaxSize
	uploadTime  = 10 * time.Minute
)

// spooled is a file of an upload, on the disk until it is kept.
type spooled struct {
	name string
	file *os.File
}

// upload holds the files of a request until it is closed.
type upload []spooled

func (u upload) close() {
	for _, s := range u {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// receiveUpload reads the files of a request to the disk, and judges all their names
// before anything is kept. Fails with mlmodel.no_files, mlmodel.bad_file_type,
// mlmodel.too_many_files and request.too_large.
func receiveUpload(c *gin.Context, kind mlmodel.Kind) (files upload, err error) {
	sent := c.Request.Body
	defer func() {
		if err != nil {
			files.close()
			files = nil
			drainBody(c, sent)
		}
	}()
	if c.Request.ContentLength > mostUpload {
		return nil, tooLargeUpload()
	}
	extendDeadlines(c, uploadTime)
	c.Request.Body = io.NopCloser(&counted{r: sent})
	parts, err := c.Request.MultipartReader()
	if err != nil {
		return nil, mlmodel.NoFiles.Wrap(err, "No files provided")
	}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return files, unreadable(err)
		}
		if part.FormName() != uploadPart {
			continue
		}
		name, err := mlmodel.FileName(kind, part.FileName())
		if err != nil {
			return files, err
		}
		if len(files) == mlmodel.MaxFiles {
			return files, mlmodel.TooManyFiles.New("An upload has at most %d files", mlmodel.MaxFiles)
		}
		f, err := os.CreateTemp("", "spotkeeper-upload-*")
		if err != nil {
			return files, err
		}
		files = append(files, spooled{name, f})
		if _, err := io.Copy(f, part); err != nil {
			return files, unreadable(err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return files, err
		}
	}
	if len(files) == 0 {
		return files, mlmodel.NoFiles.New("No files provided")
	}
	return files, nil
}

func tooLargeUpload() error {
	return web.BodyTooLarge.New("An upload may have %d MiB at most", mostUpload>>20)
}

func unreadable(err error) error {
	if errors.Is(err, errTooLarge) {
		return tooLargeUpload()
	}
	return mlmodel.NoFiles.Wrap(err, "The upload could not be read")
}

var errTooLarge = errors.New("the body is larger than an upload may be")

// counted fails once more was read than an upload may have.
type counted struct {
	r io.Reader
	n int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.n += int64(n); c.n > mostUpload {
		return n, errTooLarge
	}
	return n, err
}

// drainBody reads on, within bounds, before a refusal: a browser that is cut off
// while it sends shows "Failed to fetch" instead of the answer.
func drainBody(c *gin.Context, sent io.Reader) {
	extendDeadlines(c, 30*time.Second)
	_, _ = io.CopyN(io.Discard, sent, mostDrained)
}

// extendDeadlines gives a request of a known caller more time than package door does.
func extendDeadlines(c *gin.Context, more time.Duration) {
	ctl, until := http.NewResponseController(c.Writer), time.Now().Add(more)
	_ = ctl.SetReadDeadline(until) // a recorder in a test has none
	_ = ctl.SetWriteDeadline(until.Add(time.Minute))
}
