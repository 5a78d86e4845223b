package ec2sim_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/stretchr/testify/require"

	"spotkeeper/internal/ec2sim"
	simclient "spotkeeper/internal/ec2sim/client"
)

// open is a cloud over a state file; it is closed only by the test, or not at all, as after a kill.
func open(t *testing.T, path string) (*cloud, *ec2sim.Server) {
	t.Helper()
	sim, err := ec2sim.Open(path, ec2sim.Options{
		Seed:   9,
		Now:    func() time.Time { return start },
		Delays: simclient.Delays{ShuttingDown: 5},
	})
	require.NoError(t, err)
	return serve(t, sim), sim
}

func TestEverythingSurvivesAKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sim", "state.json")
	before, _ := open(t, path)
	id, gone := before.launch(t, order("1", zoneA)), before.launch(t, order("2", zoneA))
	_, err := before.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{gone}})
	require.NoError(t, err)
	require.NoError(t, before.ctl.Interrupt(t.Context(), id, simclient.Notice, time.Minute))
	require.NoError(t, before.ctl.SetPrice(t.Context(), poolA, 0.02))
	_, err = before.ctl.SetCapacity(t.Context(), simclient.Capacity{Pool: poolA, Limit: 0})
	require.NoError(t, err)
	require.NoError(t, before.ctl.AddRole(t.Context(), simclient.Role{ARN: role}))
	before.fault(t, simclient.Fault{Action: "CreateTags", Code: "InternalError"})
	image, err := before.CreateImage(t.Context(), &ec2.CreateImageInput{
		InstanceId: aws.String(id),
		Name:       aws.String("mine"),
	})
	require.NoError(t, err)
	before.advance(t, time.Minute)
	was, err := before.ctl.State(t.Context())
	require.NoError(t, err)

	after, _ := open(t, path) // the first was never closed
	is, err := after.ctl.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, was, is)
	require.Equal(t, types.InstanceStateNameTerminated, after.state(t, gone))
	require.Equal(t, id, after.launch(t, order("1", zoneA)), "the token is remembered, in spite of the capacity")
	require.Equal(t, "1", *after.describe(t, id).Tags[0].Value)
	_, err = after.DeregisterImage(t.Context(), &ec2.DeregisterImageInput{ImageId: image.ImageId})
	require.NoError(t, err)
	after.advance(t, 2*time.Minute)
	require.Equal(t, types.InstanceStateNameShuttingDown, after.state(t, id))
}

func TestATornJournalLosesOnlyWhatWasNeverAnswered(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state.json")
	before, _ := open(t, path)
	id := before.launch(t, order("1", zoneA))
	journal, err := os.OpenFile(path+".journal", os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = journal.WriteString(`{"table":"instances","key":"i-0","row":{"id`)
	require.NoError(t, err)
	require.NoError(t, journal.Close())
	after, sim := open(t, path)
	require.Equal(t, []string{id}, after.found(t, after.Client))
	second := after.launch(t, order("2", zoneA))
	require.NoError(t, sim.Close())
	again, _ := open(t, path)
	require.Equal(t, []string{id, second}, again.found(t, again.Client))
	counts, err := again.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, counts.Launched)
	require.EqualValues(t, 1, counts.Calls["RunInstances"], "a clean stop keeps the counts as well")
}

func TestSaveAndReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, sim := open(t, filepath.Join(dir, "state.json"))
	id := c.launch(t, order("1", zoneA))
	require.NoError(t, c.ctl.Save(t.Context()))
	require.NoError(t, sim.Save(filepath.Join(dir, "copy.json")))
	require.NoError(t, c.ctl.Reset(t.Context()))
	require.Empty(t, c.found(t, c.Client))
	copied, _ := open(t, filepath.Join(dir, "copy.json"))
	require.Equal(t, []string{id}, copied.found(t, copied.Client))
	empty, _ := open(t, filepath.Join(dir, "state.json"))
	require.Empty(t, empty.found(t, empty.Client))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 4, "two states, two journals, no leftovers")

	memory := newCloud(t, ec2sim.Options{})
	var e *simclient.ControlError
	require.ErrorAs(t, memory.ctl.Save(t.Context()), &e)
	require.Equal(t, "ec2sim.NoStateFile", e.Code)
}

func TestADamagedStateIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", "{\n", `{"table":"x","key":"k","row":null}` + "\n",
		`{"table":"instances","key":"k","row":7}` + "\n"} {
		path := filepath.Join(t.TempDir(), "state.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := ec2sim.Open(path, ec2sim.Options{})
		require.ErrorContains(t, err, path)
	}
}

func TestRetentionForgetsButStillCounts(t *testing.T) {
	t.Parallel()
	c := newCloud(t, ec2sim.Options{Retention: 24 * time.Hour})
	id := c.launch(t, order("1", zoneA))
	require.NoError(t, c.ctl.Interrupt(t.Context(), id, simclient.Terminate, 0))
	c.advance(t, 25*time.Hour)
	c.launch(t, order("2", zoneA))
	state, err := c.ctl.State(t.Context())
	require.NoError(t, err)
	require.Len(t, state.Instances, 1)
	counts, err := c.ctl.Counts(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 2, counts.Launched)
	require.EqualValues(t, 1, counts.Terminated)
	require.EqualValues(t, 1, counts.Interrupted)
	require.EqualValues(t, 2, counts.Tokens)
	require.NotEqual(t, id, c.launch(t, order("1", zoneA)))
}
