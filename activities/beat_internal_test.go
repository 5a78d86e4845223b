package activities

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBeating(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		beats := 0
		rest := heartbeatEvery(2*time.Second, func() { beats++ })
		time.Sleep(11 * time.Second)
		rest()
		require.Equal(t, 6, beats)
		time.Sleep(time.Minute)
		require.Equal(t, 6, beats, "none after it rests")
	})
}
