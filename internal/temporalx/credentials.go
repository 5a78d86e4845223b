package temporalx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
)

// load reads the TEMPORAL_* settings. Credentials that are files are read again when
// they change, so that they can be replaced while the process runs.
func load(o Options) (client.Options, error) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: o.Env})
	if err != nil {
		return client.Options{}, err
	}
	opts, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return client.Options{}, err
	}
	if o.APIKeyFile != "" {
		if profile.APIKey != "" {
			return client.Options{}, errors.New("TEMPORAL_API_KEY and TEMPORAL_API_KEY_FILE are not given together")
		}
		key := &watched[string]{read: readKey, files: []string{o.APIKeyFile}}
		if _, err := key.get(); err != nil {
			return client.Options{}, fmt.Errorf("TEMPORAL_API_KEY_FILE: %w", err)
		}
		opts.Credentials = client.NewAPIKeyDynamicCredentials(func(context.Context) (string, error) { return key.get() })
		if profile.TLS == nil {
			opts.ConnectionOptions.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	if t := profile.TLS; t != nil && t.ClientCertPath != "" && opts.ConnectionOptions.TLS != nil {
		pair := &watched[*tls.Certificate]{read: readPair, files: []string{t.ClientCertPath, t.ClientKeyPath}}
		opts.ConnectionOptions.TLS.Certificates = nil
		opts.ConnectionOptions.TLS.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return pair.get() // at each handshake
		}
	}
	return opts, nil
}

func readKey(files []string) (string, error) {
	content, err := os.ReadFile(filepath.Clean(files[0]))
	if err != nil {
		return "", err
	}
	if content = bytes.TrimSpace(content); len(content) == 0 {
		return "", fmt.Errorf("%s is empty", files[0])
	}
	return string(content), nil
}

func readPair(files []string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	return &pair, err
}

// watched is what was read from files, read again when one of them has changed.
type watched[T any] struct {
	read  func(files []string) (T, error)
	files []string

	mu    sync.Mutex
	known bool
	value T
	state []fileState
}

type fileState struct {
	at   time.Time
	size int64
}

// get returns what the files say. Files that cannot be read, as in the middle of their
// replacement, leave the last value in force.
func (w *watched[T]) get() (T, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	state, err := w.look()
	if err == nil && w.known && equal(state, w.state) {
		return w.value, nil
	}
	if err == nil {
		var value T
		if value, err = w.read(w.files); err == nil {
			w.value, w.state, w.known = value, state, true
		}
	}
	if w.known {
		return w.value, nil
	}
	return w.value, err
}

func (w *watched[T]) look() ([]fileState, error) {
	state := make([]fileState, len(w.files))
	for i, file := range w.files {
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		state[i] = fileState{info.ModTime(), info.Size()}
	}
	return state, nil
}

func equal(a, b []fileState) bool {
	for i := range a {
		if !a[i].at.Equal(b[i].at) || a[i].size != b[i].size {
			return false
		}
	}
	return true
}

// CertificateFiles are the files, in PEM, of the certificate that Temporal is shown and of the
// authorities that its own one is held against; empty where the settings name none.
func CertificateFiles(o Options) (client, authorities string) {
	profile, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{EnvLookup: o.Env})
	if err != nil || profile.TLS == nil {
		return "", "" // who connects reports what is wrong with the settings
	}
	return profile.TLS.ClientCertPath, profile.TLS.ServerCACertPath
}
