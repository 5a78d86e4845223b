package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/notification"
	"spotkeeper/internal/webhook"
)

func TestSendFollowsNothing(t *testing.T) {
	t.Parallel()
	asked := []string{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	t.Cleanup(receiver.Close)

	s := webhook.New([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
	err := s.Send(t.Context(), receiver.URL+"/hook", []string{"whsec_"}, "id", []byte("{}"))
	require.Equal(t, &webhook.Refused{Status: http.StatusFound}, err)
	require.Equal(t, []string{"/hook"}, asked)

	err = webhook.New(nil).Send(t.Context(), receiver.URL, []string{"whsec_"}, "id", []byte("{}"))
	require.True(t, fault.Is(err, notification.NotDelivered), err)
	require.ErrorContains(t, err, "inside of this network")
	require.Len(t, asked, 1)
}
