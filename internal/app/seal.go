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
type sealer struct {
	aead cipher.AEAD
	key  []byte
}

// sealedPrefix marks a sealed text. User data is base64, which has no colon.
const sealedPrefix = "sealed:"

// newSealer takes 32 bytes.
func newSealer(key []byte) (*sealer, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("the key that seals user data: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead: aead, key: key}, nil
}

func (s *sealer) seal(text string) string {
	if s == nil || text == "" {
		return text
	}
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write([]byte(text)) // never fails
	nonce := mac.Sum(nil)[:s.aead.NonceSize()]
	return sealedPrefix + base64.StdEncoding.EncodeToString(s.aead.Seal(nonce, nonce, []byte(text), nil))
}

// open returns the text. Fails with launch.misconfigured when it was sealed with another
// key.
func (s *sealer) open(text string) (string, error) {
	rest, sealed := strings.CutPrefix(text, sealedPrefix)
	if !sealed {
		return text, nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if s == nil || err != nil || len(raw) < s.aead.NonceSize() {
		return "", replica.Misconfigured.New("the stored user data cannot be read: set SECRET_KEY to the key it was sealed with")
	}
	plain, err := s.aead.Open(nil, raw[:s.aead.NonceSize()], raw[s.aead.NonceSize():], nil)
	if err != nil {
		return "", replica.Misconfigured.Wrap(err, "the stored user data was sealed with another SECRET_KEY")
	}
	return string(plain), nil
}
