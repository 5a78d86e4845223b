// Package sealing encrypts what is kept in the database and must be read again. Several
// keys may be in use at once, so that they can be replaced without a pause: the first
// one seals, all of them open.
package sealing

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// KeySize is the size in bytes of a key.
const KeySize = 32

// MaxKeyID is the most bytes that a key's id has.
const MaxKeyID = 32

// Key is one key of the deployment. The one without an id is that of deployments that
// have only one; what it seals is in the form from before there were ids.
type Key struct {
	ID     string
	Secret []byte
}

// Keys are the keys of a deployment.
type Keys struct{ list []Key }

// NewKeys judges keys, of which the first one seals.
func NewKeys(keys ...Key) (Keys, error) {
	if len(keys) == 0 {
		return Keys{}, errors.New("there is no key to seal with")
	}
	known := map[string]bool{}
	for _, k := range keys {
		switch {
		case len(k.Secret) != KeySize:
			return Keys{}, fmt.Errorf("the key %q that seals secrets has %d bytes, not %d", k.ID, len(k.Secret),
				KeySize)
		case len(k.ID) > MaxKeyID:
			return Keys{}, fmt.Errorf("the id of a key has %d characters at most", MaxKeyID)
		case known[k.ID]:
			return Keys{}, fmt.Errorf("two keys have the id %q", k.ID)
		}
		known[k.ID] = true
	}
	return Keys{list: keys}, nil
}

// Secrets are the keys themselves, the one that seals first.
func (k Keys) Secrets() (all [][]byte) {
	for _, key := range k.list {
		all = append(all, key.Secret)
	}
	return all
}

// Box seals for one use with keys of its own.
type Box struct {
	keys Keys
	use  string
}

// BoxFor makes the box of a use.
func (k Keys) BoxFor(use string) Box { return Box{keys: k, use: use} }

// header begins what was sealed with a key that has an id; the id and its length follow.
var header = []byte{0x01, 'S', 'K', '1'}

func headerOf(id string) []byte {
	return append(append(bytes.Clone(header), byte(len(id))), id...) //nolint:gosec // NewKeys bounds it
}

// aead is the cipher of a key for the box's use. The key without an id is used as it is.
func (b Box) aead(k Key) (cipher.AEAD, error) {
	secret := k.Secret
	if k.ID != "" {
		var err error
		if secret, err = hkdf.Key(sha256.New, k.Secret, nil, "spotkeeper sealing "+b.use, KeySize); err != nil {
			return nil, err
		}
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Seal encrypts a text and binds it to what it belongs to.
func (b Box) Seal(text, bound string) ([]byte, error) {
	key := b.keys.list[0]
	aead, err := b.aead(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	if key.ID == "" {
		return aead.Seal(nonce, nonce, []byte(text), []byte(bound)), nil
	}
	head := headerOf(key.ID)
	return aead.Seal(append(bytes.Clone(head), nonce...), nonce, []byte(text), slices.Concat(head, []byte(bound))), nil
}

// ErrUnreadable means that no key opens what was sealed, or that it belongs to something
// else.
var ErrUnreadable = errors.New("it was sealed with another key, or for another row")

// Open decrypts what Seal made for the same use and the same thing.
func (b Box) Open(sealed []byte, bound string) (string, error) {
	for _, key := range b.keys.list {
		aead, err := b.aead(key)
		if err != nil {
			return "", err
		}
		head := headerOf(key.ID)
		rest, extra := sealed, []byte(bound)
		if key.ID != "" {
			var mine bool
			if rest, mine = bytes.CutPrefix(sealed, head); !mine {
				continue
			}
			extra = slices.Concat(head, []byte(bound))
		}
		if len(rest) < aead.NonceSize() {
			continue
		}
		if text, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], extra); err == nil {
			return string(text), nil
		}
	}
	return "", ErrUnreadable
}

// IsCurrent says whether the key that seals now was used.
func (b Box) IsCurrent(sealed []byte) bool {
	first := b.keys.list[0].ID
	if first == "" {
		return !bytes.HasPrefix(sealed, header)
	}
	return bytes.HasPrefix(sealed, headerOf(first))
}
