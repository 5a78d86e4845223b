// Package derive makes the ids and seeded numbers of the simulator from names, the same
// ones in every process.
package derive

import "hash/fnv"

// HashText is the 64-bit FNV-1a hash of a text.
func HashText(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum64()
}

// MixWords is splitmix64 over two words: close inputs give numbers that look independent.
func MixWords(key, n uint64) uint64 {
	z := key + (n+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
