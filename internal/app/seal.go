package app

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"spotkeeper/internal/domain/replica"
)

// sealer seals texts that may hold secrets, such as user data, before they are stored. The
// same text is sealed the same way each time, so that what did not change is not written
// again. A nil sealer leaves texts as they are.
type sealer struct{ keys []sealingKey }

type sealingKey struct {
	aead cipher.AEAD
	key  []byte
}

// sealedPrefix marks a sealed text. User data is base64, which has no colon.
const sealedPrefix = "sealed:"

// newSealer takes keys of 32 bytes. The first one seals, all of them open.
func newSealer(keys ...[]byte) (*sealer, error) {
	s := &sealer{}
	for _, key := range keys {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("the key that seals user data: %w", err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, sealingKey{aead: aead, key: key})
	}
	return s, nil
}

func (s *sealer) seal(text string) string {
	if s == nil || len(s.keys) == 0 || text == "" {
		return text
	}
	k := s.keys[0]
	mac := hmac.New(sha256.New, k.key)
	_, _ = mac.Write([]byte(text)) // never fails
	nonce := mac.Sum(nil)[:k.aead.NonceSize()]
	return sealedPrefix + base64.StdEncoding.EncodeToString(k.aead.Seal(nonce, nonce, []byte(text), nil))
}

// open returns the text. Fails with launch.misconfigured when it was sealed with another
// key.
func (s *sealer) open(text string) (string, error) {
	rest, sealed := strings.CutPrefix(text, sealedPrefix)
	if !sealed {
		return text, nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if s == nil || len(s.keys) == 0 || err != nil {
		return "", replica.Misconfigured.New(
			"the stored user data cannot be read: set SECRET_KEY to the key it was sealed with")
	}
	for _, k := range s.keys {
		if size := k.aead.NonceSize(); len(raw) >= size {
			if plain, err := k.aead.Open(nil, raw[:size], raw[size:], nil); err == nil {
				return string(plain), nil
			}
		}
	}
	return "", replica.Misconfigured.New("the stored user data was sealed with another SECRET_KEY")
}
