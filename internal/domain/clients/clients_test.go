package clients_test

import (
	"bytes"
	"crypto/rand"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"spotkeeper/internal/domain/clients"
	"spotkeeper/internal/domain/fault"
)

func TestNewToken(t *testing.T) {
	t.Parallel()

	seen, form := map[string]bool{}, regexp.MustCompile(`^token-[A-Za-z0-9]{32}$`)
	for range 200 {
		token, err := clients.NewToken(rand.Reader)
		require.NoError(t, err)
		require.Regexp(t, form, token)
		require.False(t, seen[token], "a token came twice")
		seen[token] = true
	}
	_, err := clients.NewToken(bytes.NewReader(make([]byte, 10)))
	require.Error(t, err, "too little randomness is no token")
	require.NotEqual(t, clients.HashToken("token-A"), clients.HashToken("token-a"))
}

// TestNewTokenUsesEveryCharacterEvenly would show a bias of some characters,
// which a plain remainder gives to the first eight.
func TestNewTokenUsesEveryCharacterEvenly(t *testing.T) {
	t.Parallel()

	const tokens = 4000
	counts, random := map[rune]int{}, mathrand.NewChaCha8([32]byte{1})
	for range tokens {
		token, err := clients.NewToken(random)
		require.NoError(t, err)
		for _, r := range strings.TrimPrefix(token, clients.TokenPrefix) {
			counts[r]++
		}
	}
	require.Len(t, counts, 62)
	for r, n := range counts {
		require.InEpsilon(t, tokens*32/62, n, 0.12, "%c", r)
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()

	for name, tc := range map[string]struct {
		in   clients.NewClient
		want clients.NewClient
		code fault.Code
	}{
		"trimmed": {
			in:   clients.NewClient{Name: "  Beta Corp "},
			want: clients.NewClient{Name: "Beta Corp", Email: "beta_corp@example.com", LegacyToken: "agent"},
		},
		"email kept": {
			in:   clients.NewClient{Name: "A", Email: " ops@acme.test ", LegacyToken: "all"},
			want: clients.NewClient{Name: "A", Email: "ops@acme.test", LegacyToken: "all"},
		},
		"empty":           {in: clients.NewClient{Name: "  "}, code: clients.BadName},
		"too long":        {in: clients.NewClient{Name: strings.Repeat("é", 256)}, code: clients.BadName},
		"control":         {in: clients.NewClient{Name: "a\nb"}, code: clients.BadName},
		"zero width":      {in: clients.NewClient{Name: "ac\u200bme"}, code: clients.BadName},
		"hidden e-mail":   {in: clients.NewClient{Name: "a", Email: "a\u202eb@x.test"}, code: clients.BadEmail},
		"bad email":       {in: clients.NewClient{Name: "A", Email: "not an address"}, code: clients.BadEmail},
		"display name":    {in: clients.NewClient{Name: "A", Email: "A <a@b.c>"}, code: clients.BadEmail},
		"no room for one": {in: clients.NewClient{Name: strings.Repeat("n", 250)}, code: clients.BadEmail},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			err := tc.in.Normalize()
			if tc.code != "" {
				require.Equal(t, tc.code, fault.CodeOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want.Name, tc.in.Name)
			require.Equal(t, tc.want.Email, tc.in.Email)
			require.NotEmpty(t, tc.in.Launcher)
		})
	}
}

// TestNormalizeIsIdempotent holds for any name that is accepted.
func TestNormalizeIsIdempotent(t *testing.T) {
	t.Parallel()

	rapid.Check(t, func(t *rapid.T) {
		n := clients.NewClient{Name: rapid.String().Draw(t, "name")}
		if n.Normalize() != nil {
			return
		}
		again := n
		again.Email = ""
		require.NoError(t, again.Normalize())
		require.Equal(t, n, again)
	})
}
