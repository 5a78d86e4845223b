package fleet_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/fleet"
)

// TestLifecycleActions: what is asked of EC2 Auto Scaling, and that an action which has
// ended is no failure.
func TestLifecycleActions(t *testing.T) {
	t.Parallel()
	var asked []string
	ended := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		asked = append(asked, r.Form.Get("Action")+" "+r.Form.Get("AutoScalingGroupName")+" "+
			r.Form.Get("LifecycleHookName")+" "+r.Form.Get("LifecycleActionToken")+" "+r.Form.Get("InstanceId")+" "+
			r.Form.Get("LifecycleActionResult"))
		if ended {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code>` +
				`<Message>No active Lifecycle Action found with instance ID i-1</Message></Error></ErrorResponse>`))
			return
		}
		action := r.Form.Get("Action")
		_, _ = w.Write([]byte(`<` + action + `Response><` + action + `Result/></` + action + `Response>`))
	}))
	t.Cleanup(server.Close)
	p, err := fleet.New(t.Context(), fleet.Options{
		Endpoint: server.URL, AutoScalingEndpoint: server.URL,
		Credentials: fleet.StaticCredentials("AKIA", "secret"),
	})
	require.NoError(t, err)
	a := fleet.Account{ClientID: "k1", Own: true}
	action := fleet.LifecycleAction{Group: "web", Hook: "spotkeeper", Token: "t1", InstanceID: "i-1"}
	for _, abandon := range []bool{false, true} {
		waiting, err := p.CompleteLifecycle(t.Context(), a, "us-east-1", action, abandon)
		require.NoError(t, err)
		require.True(t, waiting)
	}
	ended = true
	waiting, err := p.KeepLifecycle(t.Context(), a, "us-east-1", action)
	require.NoError(t, err)
	require.False(t, waiting)
	require.Equal(t, []string{
		"CompleteLifecycleAction web spotkeeper t1 i-1 CONTINUE",
		"CompleteLifecycleAction web spotkeeper t1 i-1 ABANDON",
		"RecordLifecycleActionHeartbeat web spotkeeper t1 i-1 ",
	}, asked)
	server.Close()
	_, err = p.KeepLifecycle(t.Context(), a, "us-east-1", action)
	require.Error(t, err, "no answer is no end")
}
