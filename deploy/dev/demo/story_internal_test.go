package demo

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEachLineOfTheStoryHasALink: the line of an operation leads to its page in the console,
// and every other one to the agent's, or to the fleet.
func TestEachLineOfTheStoryHasALink(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := &member{name: "web"}
	w := &world{o: Options{API: "http://127.0.0.1:5000", Out: &out}, members: []*member{m}}
	w.say(nil, "the fleet starts")
	w.registered(m, "a1")
	w.say(m, "AWS gives %s two minutes", "i-1")
	w.sayOperation(operation{ID: "termination/a1/i-1", Kind: "termination", AgentID: "a1", State: "running", Phase: "noticed"})
	for _, want := range []string{
		"fleet      the fleet starts  http://127.0.0.1:5000/fleet\n",
		"web        AWS gives i-1 two minutes  http://127.0.0.1:5000/agents/a1\n",
		"web        termination: noticed  http://127.0.0.1:5000/operations/termination%2Fa1%2Fi-1\n",
	} {
		require.Contains(t, out.String(), want)
	}
}
