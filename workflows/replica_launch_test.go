package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/replica"
	"spotkeeper/internal/domain/roles"
)

func TestTheFiveClassesOfLaunchErrors(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		full  map[string]fault.Code
		asked []string
		code  fault.Code // of the replica's end; empty: it launched
	}{
		"capacity: the next pool": {
			full:  map[string]fault.Code{t3b: replica.NoCapacity},
			asked: []string{t3b, t3c},
		},
		"a dead attempt: the next pool": {
			full:  map[string]fault.Code{t3b: replica.TokenDead},
			asked: []string{t3b, t3c},
		},
		"quota: another family": {full: map[string]fault.Code{t3b: replica.QuotaUsedUp}, asked: []string{t3b, m5b}},
		"quota of all: on-demand": {full: map[string]fault.Code{t3b: replica.QuotaUsedUp, m5b: replica.QuotaUsedUp},
			asked: []string{t3b, m5b, t3bD}},
		"quota of the type: another type": {full: map[string]fault.Code{t3b: replica.TypeQuotaUsedUp},
			asked: []string{t3b, m5b}},
		"network: another zone": {full: map[string]fault.Code{t3b: replica.NoAddresses}, asked: []string{t3b, t3c}},
		"network everywhere: none is left": {
			full:  map[string]fault.Code{t3b: replica.NoAddresses, t3c: replica.NoAddresses},
			asked: []string{t3b, t3c},
			code:  replica.NoPool,
		},
		"permission for one zone: another zone": {
			full:  map[string]fault.Code{t3b: replica.Refused, m5b: replica.Refused, t3bD: replica.Refused},
			asked: []string{t3b, t3c},
		},
		"permission for one type: not asked for again in the zone": {
			full:  map[string]fault.Code{t3b: replica.Refused, t3c: replica.Refused},
			asked: []string{t3b, t3c},
			code:  replica.Refused,
		},
		"configuration: another zone": {full: map[string]fault.Code{t3b: replica.Misconfigured},
			asked: []string{t3b, t3c}},
		"a sick zone: another one": {full: map[string]fault.Code{t3b: "ec2.unavailable"},
			asked: []string{t3b, t3c}},
		"all empty: on-demand, then no pool": {
			full: map[string]fault.Code{
				t3b:  replica.NoCapacity,
				t3c:  replica.NoCapacity,
				m5b:  replica.NoCapacity,
				t3bD: replica.NoCapacity,
			},
			asked: []string{t3b, t3c, m5b, t3bD}, code: replica.NoPool},
		"token of another request: stop, a bug": {full: map[string]fault.Code{t3b: replica.TokenReused},
			asked: []string{t3b}, code: replica.TokenReused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Manual))
			w.cloud.full = c.full
			w.settled(time.Hour, replica.Promoted)
			_, err := w.replicate(t)
			require.Equal(t, c.code, fault.CodeOf(err))
			require.Equal(t, c.asked, compact(w.cloud.asked))
			require.Len(t, w.cloud.outcomes, len(c.asked), "each is remembered")
			if c.code != "" {
				require.Equal(t, replica.Failed, w.store.state("r1"))
				require.NotEmpty(t, w.pages.last().Notify, "the client hears of it")
				require.Empty(t, w.cloud.launched)
			}
		})
	}
}

// TestAnEmergencyWalksTheWholeList, whatever one candidate fails with, and fails with the
// reason that a person can do something about.
func TestAnEmergencyWalksTheWholeList(t *testing.T) {
	t.Parallel()

	all := func(code fault.Code) map[string]fault.Code {
		return map[string]fault.Code{t3b: code, t3c: code, m5b: code, t3bD: code}
	}
	for name, c := range map[string]struct {
		full  map[string]fault.Code
		asked []string
		code  fault.Code
	}{
		"permission":    {full: map[string]fault.Code{t3b: replica.Refused}, asked: []string{t3b, t3c}},
		"configuration": {full: map[string]fault.Code{t3b: replica.Misconfigured}, asked: []string{t3b, t3c}},
		"unclassified": {
			full:  map[string]fault.Code{t3b: "odd.thing", t3c: "odd.thing"},
			asked: []string{t3b, t3c, m5b},
		},
		"permission everywhere": {
			full:  all(replica.Refused),
			asked: []string{t3b, t3c, m5b, t3bD},
			code:  replica.Refused,
		},
		"throttled everywhere": {
			full:  all(replica.Throttled),
			asked: []string{t3b, t3c, m5b, t3bD},
			code:  replica.Throttled,
		},
		"mixed": {
			full: map[string]fault.Code{
				t3b:  replica.Refused,
				t3c:  replica.NoCapacity,
				m5b:  replica.NoCapacity,
				t3bD: replica.NoCapacity,
			},
			asked: []string{t3b, t3c, m5b, t3bD},
			code:  replica.NoPool,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Termination))
			w.cloud.full = c.full
			began := w.Now()
			w.settled(time.Hour, replica.Promoted)
			_, err := w.replicate(t)
			require.Equal(t, c.code, fault.CodeOf(err))
			require.Equal(t, c.asked, compact(w.cloud.asked))
			if c.code == "" {
				require.Equal(t, replica.Promoted, w.store.state("r1"))
				require.LessOrEqual(t, w.pages.when("ready").Sub(began), time.Duration(len(c.asked)-1)*20*time.Second,
					"twenty seconds for each pool")
			}
		})
	}
}

// compact leaves one of each run of equal strings.
func compact(in []string) (out []string) {
	for _, s := range in {
		if len(out) == 0 || out[len(out)-1] != s {
			out = append(out, s)
		}
	}
	return out
}

// TestAReasonThatIsNotKnownCostsOneCandidate in histories that were recorded before every death of a
// set-up was followed by another candidate: the second pool shows whether the set-up is to blame.
func TestAReasonThatIsNotKnownCostsOneCandidate(t *testing.T) {
	t.Parallel()

	for _, reason := range []string{"Client.SomethingNew", "Client.InternalError"} {
		for _, kind := range []replica.Kind{replica.Manual, replica.Termination} {
			t.Run(reason+" "+string(kind), func(t *testing.T) {
				t.Parallel()

				w := replicaWorld(t, replicaOf(kind))
				w.launchesAndWalks(map[string][2]string{t3b: {activities.StateTerminated, reason}}, "")
				w.settled(time.Minute, replica.Promoted)
				res, err := w.replicate(t)
				require.NoError(t, err)
				require.Equal(t, "i-"+t3c, res.InstanceID)

				w = replicaWorld(t, replicaOf(kind))
				dead := [2]string{activities.StateTerminated, reason}
				w.launchesAndWalks(map[string][2]string{t3b: dead, t3c: dead}, "")
				_, err = w.replicate(t)
				require.Equal(t, replica.Misconfigured, fault.CodeOf(err))
				require.Equal(t, []string{t3b, t3c}, w.cloud.asked)
				require.Empty(t, w.cloud.outcomes, "no pool is blamed")
			})
		}
	}
}

// TestALaunchThatWasGivenUpIsLookedUp is the attempt that was late: it launched after all,
// so the next candidate's instance was refused, and the replica goes on with the first.
func TestALaunchThatWasGivenUpIsLookedUp(t *testing.T) {
	t.Parallel()

	for name, code := range map[string]fault.Code{
		"before the next candidate": replica.Throttled,
		"beside it":                 replica.AlreadyExists,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(replica.Termination))
			w.cloud.full = map[string]fault.Code{t3b: code}
			w.OnActivity("LoadReplica", anything, anything).
				Return(func(ctx context.Context, id string) (*roles.ReplicaRow, error) {
					row, err := w.store.LoadReplica(ctx, id)
					if len(w.cloud.asked) > 0 {
						row.Launch = &roles.Launch{
							InstanceID: "i-late",
							PoolID:     "t3.medium.us-east-1c",
							Mode:       agent.Spot,
						}
					}
					return row, err
				})
			w.settled(time.Hour, replica.Promoted)
			res, err := w.replicate(t)
			require.NoError(t, err)
			require.Equal(t, "i-late", res.InstanceID)
			require.Equal(t, "t3.medium.us-east-1c", res.PoolID)
			require.Equal(t, []string{t3b}, compact(w.cloud.asked))
			require.Empty(t, w.cloud.launched)
		})
	}
}

func TestARetirementDuringTheLaunchEndsWhatWasLaunched(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.full = map[string]fault.Code{t3b: replica.Throttled}
	w.after(20*time.Second, func() {
		w.cloud.mu.Lock()
		defer w.cloud.mu.Unlock()
		w.cloud.full = map[string]fault.Code{}
		w.store.edit(func(r *roles.Replica) { r.InstanceID = "i-r1" }) // as EndLaunch makes it known
	})
	w.settled(10*time.Second, replica.Retiring)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, replica.Retired, res.State)
	require.Equal(t, []string{"i-r1"}, w.cloud.launched)
	require.Equal(t, []string{"i-r1"}, w.cloud.ended)
}

// TestOneThatIsBornDeadIsReplacedInTheNextPool and only an instance that runs is its
// pool's success.
func TestOneThatIsBornDeadIsReplacedInTheNextPool(t *testing.T) {
	t.Parallel()

	for _, kind := range []replica.Kind{replica.Manual, replica.Termination} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()

			w := replicaWorld(t, replicaOf(kind))
			w.launches(map[string][2]string{
				t3b: {activities.StateTerminated, "Server.InsufficientInstanceCapacity"},
				t3c: {activities.StateShuttingDown, "Server.InternalError"}})
			w.settled(time.Minute, replica.Promoted)
			res, err := w.replicate(t)
			require.NoError(t, err)
			require.Equal(t, "i-"+m5b, res.InstanceID)
			require.Equal(t, "m5.large.us-east-1b", res.PoolID)
			require.Equal(t, []string{t3b, t3c, m5b}, w.cloud.asked)
			require.Equal(t, []string{t3b + " launch.instance_gone", t3c + " launch.instance_gone", m5b + " "},
				outcomes(w))
			require.Equal(t, 1, w.store.decided(), "it is the same replica")
		})
	}
}

func outcomes(w *world) (out []string) {
	for _, o := range w.cloud.outcomes {
		out = append(out, o.Where.Key()+" "+o.Code)
	}
	return out
}

// TestOneThatIsBornDeadAfterItsWorkflowWasLost is replaced as well, and its pool is not
// tried again at once.
func TestOneThatIsBornDeadAfterItsWorkflowWasLost(t *testing.T) {
	t.Parallel()

	r := replicaOf(replica.Manual)
	r.State, r.InstanceID, r.PoolID = replica.Launching, "i-"+t3b, "t3.medium.us-east-1b"
	w := replicaWorld(t, r)
	w.launches(map[string][2]string{t3b: {activities.StateTerminated, "Server.InternalError"}})
	w.settled(time.Minute, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, "i-"+t3c, res.InstanceID)
	require.Equal(t, []string{t3b + " launch.instance_gone", t3c + " "}, outcomes(w))
}

// TestASetUpThatKillsIsTheTenantsToMend, when instances of three candidates died of it at rest, and of
// every candidate in an emergency.
func TestASetUpThatKillsIsTheTenantsToMend(t *testing.T) {
	t.Parallel()

	for kind, asked := range map[replica.Kind][]string{
		replica.Manual:      {t3b, t3c},
		replica.Termination: {t3b, t3c, m5b, t3bD},
	} {
		for _, reason := range []string{"Client.VolumeLimitExceeded", "Client.InvalidKMSKey.InvalidState",
			"Client.InvalidSnapshot.NotFound", "Client.InternalError", "Client.SomethingNew"} {
			t.Run(reason+" "+string(kind), func(t *testing.T) {
				t.Parallel()

				dead := [2]string{activities.StateTerminated, reason}
				w := replicaWorld(t, replicaOf(kind))
				w.launches(map[string][2]string{t3b: dead, t3c: dead, m5b: dead, t3bD: dead})
				_, err := w.replicate(t)
				require.Equal(t, replica.Misconfigured, fault.CodeOf(err))
				require.Equal(t, asked, w.cloud.asked)
				require.Empty(t, w.cloud.outcomes, "the pools are healthy")
				require.Equal(t, replica.Failed, w.store.state("r1"))
				end := w.pages.last()
				require.Contains(t, end.Notify, "No replacement can be launched for web: ")
				require.Contains(t, end.Notify, "("+reason+"): "+replica.DeathInWords(reason))
				require.NotContains(t, end.Notify, "i-", "the sentence is the same for each")
				require.Equal(t, "launch:a1/launch.misconfigured", end.NotifyKey, "the next replica that fails so does not say it again")
			})
		}
	}
	t.Run("in a history from before", func(t *testing.T) {
		t.Parallel()

		w := replicaWorld(t, replicaOf(replica.Termination))
		w.launchesAndWalks(map[string][2]string{t3b: {activities.StateTerminated, "Client.VolumeLimitExceeded"}}, "")
		_, err := w.replicate(t)
		require.Equal(t, replica.Misconfigured, fault.CodeOf(err))
		require.Equal(t, []string{t3b}, w.cloud.asked)
	})
}

// TestWhatAFailureLeftOutIsTriedAfterTheRest in an emergency alone, the places that share least with
// the failures first.
func TestWhatAFailureLeftOutIsTriedAfterTheRest(t *testing.T) {
	t.Parallel()

	full := map[string]fault.Code{t3b: replica.QuotaUsedUp, m5b: replica.QuotaUsedUp, t3bD: replica.QuotaUsedUp}
	w := replicaWorld(t, replicaOf(replica.Termination))
	w.cloud.full = full
	w.settled(time.Hour, replica.Promoted)
	_, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, []string{t3b, m5b, t3bD, t3c}, compact(w.cloud.asked))

	w = replicaWorld(t, replicaOf(replica.Manual))
	w.cloud.full = full
	_, err = w.replicate(t)
	require.Equal(t, replica.NoPool, fault.CodeOf(err))
	require.Equal(t, []string{t3b, m5b, t3bD}, compact(w.cloud.asked))
}

// TestOneThatAPersonEndedIsAFailureAtRest and costs an emergency a candidate only.
func TestOneThatAPersonEndedIsAFailureAtRest(t *testing.T) {
	t.Parallel()

	dead := map[string][2]string{t3b: {activities.StateTerminated, "Client.UserInitiatedShutdown"}}
	w := replicaWorld(t, replicaOf(replica.Manual))
	w.launches(dead)
	_, err := w.replicate(t)
	require.Equal(t, replica.InstanceGone, fault.CodeOf(err))
	require.Empty(t, w.cloud.outcomes)

	w = replicaWorld(t, replicaOf(replica.Termination))
	w.launches(dead)
	w.settled(time.Minute, replica.Promoted)
	res, err := w.replicate(t)
	require.NoError(t, err)
	require.Equal(t, "i-"+t3c, res.InstanceID)
	require.Equal(t, []string{t3c + " "}, outcomes(w), "no pool is blamed")
}

func TestEveryPoolIsDead(t *testing.T) {
	t.Parallel()

	end := [2]string{activities.StateTerminated, "Server.InternalError"}
	w := replicaWorld(t, replicaOf(replica.Termination))
	w.launches(map[string][2]string{t3b: end, t3c: end, m5b: end, t3bD: end})
	_, err := w.replicate(t)
	require.Equal(t, replica.NoPool, fault.CodeOf(err))
	require.Equal(t, []string{t3b, t3c, m5b, t3bD}, w.cloud.asked, "each once")
}

// TestAnUrgentLaunchSaysSo in its input, so that it does without a read of EC2.
func TestAnUrgentLaunchSaysSo(t *testing.T) {
	t.Parallel()

	kinds := map[replica.Kind]bool{
		replica.Manual:      false,
		replica.Switch:      false,
		replica.Rebalance:   true,
		replica.Termination: true,
	}
	for kind, urgent := range kinds {
		w := replicaWorld(t, replicaOf(kind))
		var got activities.LaunchInput
		launch := func(_ context.Context, in activities.LaunchInput) (*activities.LaunchResult, error) {
			got = in
			return &activities.LaunchResult{InstanceID: "i-1"}, nil
		}
		w.OnActivity("LaunchInstance", anything, anything).Return(launch)
		w.settled(time.Minute, replica.Promoted)
		_, err := w.replicate(t)
		require.NoError(t, err)
		require.Equal(t, urgent, got.Urgent, kind)
	}
}

func TestAReadThatFailsForGoodIsNotTriedForEver(t *testing.T) {
	t.Parallel()

	w := replicaWorld(t, replicaOf(replica.Manual))
	w.store.broken = errors.New("the store is away")
	w.SetTestTimeout(time.Minute)
	began := w.Now()
	_, err := w.replicate(t)
	require.Error(t, err)
	require.LessOrEqual(t, w.Now().Sub(began), 49*time.Hour)
	require.Empty(t, w.cloud.asked)
}
