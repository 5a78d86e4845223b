package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"spotkeeper/activities"
	"spotkeeper/internal/domain/agent"
	"spotkeeper/internal/domain/fault"
	"spotkeeper/internal/domain/interruption"
	"spotkeeper/internal/domain/roles"
	"spotkeeper/workflows/steps"
)

// Graces of an idle Guardian.
const (
	minGrace     = time.Millisecond // a task of its own for the end
	defaultGrace = time.Second      // also absorbs bursts
)

// GuardianInput starts a Guardian, and is all that continue-as-new carries: a
// Guardian reads everything else from Postgres.
type GuardianInput struct {
	AgentID string          `json:"agent_id"`
	Tuning  Tuning          `json:"tuning"`
	Done    GuardianSummary `json:"done"`
}

// Tuning is what only tests and measurements change.
type Tuning struct {
	IdleGrace time.Duration `json:"idle_grace,omitempty"` // how long a Guardian lingers with nothing to do; 0: a second
	MaxEvents int           `json:"max_events,omitempty"` // continue as new from here on; 0: when the server suggests it
}

// GuardianSummary is the result of a Guardian: the messages it took in, over all runs
// that continued each other.
type GuardianSummary struct {
	Updates int `json:"updates"`
	Wakes   int `json:"wakes"`
	Runs    int `json:"runs"`
}

// Guardian decides about an agent's roles, except failovers to a ready successor: those are
// decided where the notice is taken in. It is a virtual actor
// without state: it starts with the first message, reads the roles from Postgres
// before each decision, and ends when nothing is in flight. Nothing that a later run
// would miss is kept, so ending, continuing as new and being reset mean the same. It
// undoes nothing: each decision is one guarded transaction. It has no children: a
// decision opens its row, whose workflow is started by a message or by the sweep.
func Guardian(ctx workflow.Context, in GuardianInput) (*GuardianSummary, error) {
	g := &guardian{
		in:       in,
		turn:     workflow.NewMutex(ctx),
		inbox:    workflow.GetSignalChannel(ctx, SignalWake),
		phase:    "starting",
		answered: -1,
	}
	g.in.Done.Runs++
	if err := g.listen(ctx); err != nil {
		return nil, err
	}
	return g.run(ctx)
}

type guardian struct {
	in       GuardianInput
	roles    *roles.AgentRoles
	phase    string
	turn     workflow.Mutex          // held from reading the roles to acting on them
	inbox    workflow.ReceiveChannel // read by run alone
	dirty    bool                    // something happened that reconcile should see
	touches  int                     // messages and results so far; idleness is that it stands still
	inFlight int                     // pauses that this run must see the end of
	answered int                     // history length in the task that an update was last answered in; -1: none was
	misses   int                     // reconciliations that failed in a row
	leaving  bool                    // continue-as-new is due: waiting handlers answer "in progress"
}

// listen registers every handler. It must run before anything blocks, so that a
// message sent together with the start is not lost.
func (g *guardian) listen(ctx workflow.Context) error {
	return errors.Join(
		workflow.SetQueryHandler(ctx, QueryState, g.state),
		registerUpdate(ctx, g, UpdateTerminationNotice, g.onNotice, NoticeInput.validate),
		registerUpdate(ctx, g, UpdateEmergencyReplica, g.onEmergency, EmergencyInput.validate),
		registerUpdate(ctx, g, UpdateCreateReplica, g.onCreateReplica, CreateReplicaInput.validate),
		registerUpdate(ctx, g, UpdatePromote, g.onPromote, PromoteInput.validate),
		registerUpdate(ctx, g, UpdateDeleteReplica, g.onDeleteReplica, DeleteReplicaInput.validate),
		registerUpdate(ctx, g, UpdateRequestSwitch, g.onRequestSwitch, RequestSwitchInput.validate),
		registerUpdate(ctx, g, UpdateConfigure, g.onConfigure, ConfigureInput.validate),
		registerUpdate(ctx, g, UpdateRemoveAgent, g.onRemoveAgent, RemoveAgentInput.validate),
	)
}

// registerUpdate registers an update and counts it. The key in the update's id goes to the
// handler, because only here it can be asked for.
func registerUpdate[In, Out any](
	ctx workflow.Context,
	g *guardian,
	name string,
	fn func(workflow.Context, In, string) (*Out, error),
	validate func(In) error,
) error {
	return workflow.SetUpdateHandlerWithOptions(ctx, name, func(ctx workflow.Context, in In) (*Out, error) {
		g.in.Done.Updates++
		g.touches++
		defer func() { // a handler that waited answers in a later task than the one that brought it
			g.touches++
			g.answered = workflow.GetInfo(ctx).GetCurrentHistoryLength()
		}()
		return fn(ctx, in, requestKey(workflow.GetCurrentUpdateInfo(ctx).ID))
	}, workflow.UpdateHandlerOptions{Validator: validate})
}

// withRoles reads the roles and has fn act on them, in one turn: nothing else of this
// Guardian decides between the reading and the acting.
func (g *guardian) withRoles(ctx workflow.Context, fn func(set *roles.AgentRoles) error) error {
	if err := g.turn.Lock(ctx); err != nil {
		return err
	}
	defer g.turn.Unlock()
	set, err := g.loadRoles(ctx)
	if err != nil {
		return err
	}
	return fn(set)
}

// run is the one consumer of the inbox and the only place where a Guardian ends.
// Between atRest and the return nothing yields: a message that comes in meanwhile
// makes the server refuse the whole workflow task and give it again with the message.
// That is why a run never ends, or continues as new, in a task that carries an answer:
// it would be refused with the task. A task that only wakes have brought carries none,
// so the run ends in it.
func (g *guardian) run(ctx workflow.Context) (*GuardianSummary, error) {
	for {
		for g.inbox.ReceiveAsync(nil) {
			g.in.Done.Wakes++
			g.touches++
			g.dirty = true
		}
		switch {
		case g.dirty:
			g.dirty = false
			g.attempt(ctx)
		case !g.atRest(ctx):
			g.leaving = g.isContinueAsNewDue(ctx) && g.inFlight == 0
			if err := workflow.Await(ctx, func() bool {
				return g.dirty || g.inbox.Len() > 0 || g.atRest(ctx) ||
					!g.leaving && g.inFlight == 0 && g.isContinueAsNewDue(ctx)
			}); err != nil {
				return nil, err
			}
		default:
			g.enterPhase(ctx, "waiting for what is asked next")
			stirred := false
			if g.mustLinger(ctx) {
				var err error
				if stirred, err = g.waitForMessages(ctx); err != nil {
					return nil, err
				}
			}
			switch {
			case stirred:
			case g.isContinueAsNewDue(ctx):
				return nil, workflow.NewContinueAsNewError(ctx, Guardian, g.in)
			default:
				return &g.in.Done, nil
			}
		}
	}
}

// attempt reconciles. When that fails it pauses and tries again, longer each time:
// what it has not done the sweep would notice late. A refusal that repeats is left to
// the sweep.
func (g *guardian) attempt(ctx workflow.Context) {
	err := g.reconcile(ctx)
	switch {
	case err == nil:
		g.misses = 0
		return
	case fault.Is(err, agent.NotFound):
		workflow.GetLogger(ctx).Debug("no such agent", "agent_id", g.in.AgentID)
		return
	}
	g.misses++
	if g.misses > 5 && !fault.KindOf(err).Retryable() {
		workflow.GetLogger(ctx).Error("reconcile is refused", "agent_id", g.in.AgentID, "error", err)
		return
	}
	pause := min(250*time.Millisecond<<min(g.misses-1, 7), 30*time.Second)
	workflow.GetLogger(ctx).Warn("reconcile failed", "agent_id", g.in.AgentID, "error", err, "again_in", pause)
	g.inFlight++
	workflow.Go(ctx, func(ctx workflow.Context) {
		_ = steps.Sleep(ctx, pause, "reconcile again after a failure") // a cancelled run looks again at once and ends
		g.inFlight--
		g.touches++
		g.dirty = true
	})
}

// atRest says whether nothing is in flight and every message was taken in.
func (g *guardian) atRest(ctx workflow.Context) bool {
	return g.inFlight == 0 && !g.dirty && g.inbox.Len() == 0 && workflow.AllHandlersFinished(ctx)
}

// mustLinger says whether the run may not end in this workflow task: an update was
// answered in it, or the one that started the run is still to be handed to its handler.
func (g *guardian) mustLinger(ctx workflow.Context) bool {
	return g.touches == 0 || g.answered == workflow.GetInfo(ctx).GetCurrentHistoryLength()
}

// waitForMessages waits for the idle grace, shortly when continue-as-new is due, and says
// whether something came. Its timer brings a workflow task without an answer.
func (g *guardian) waitForMessages(ctx workflow.Context) (bool, error) {
	grace := max(g.in.Tuning.IdleGrace, minGrace)
	if g.in.Tuning.IdleGrace == 0 {
		grace = defaultGrace
	}
	if g.isContinueAsNewDue(ctx) {
		grace = minGrace
	}
	seen := g.touches
	return steps.AwaitWithin(ctx, grace, "end unless a message comes", func() bool { return g.touches != seen || !g.atRest(ctx) })
}

// isContinueAsNewDue says whether the history is long enough to continue as new.
func (g *guardian) isContinueAsNewDue(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() ||
		g.in.Tuning.MaxEvents > 0 && info.GetCurrentHistoryLength() > g.in.Tuning.MaxEvents
}

// loadRoles reads the roles. Every decision begins with it, inside its turn.
func (g *guardian) loadRoles(ctx workflow.Context) (*roles.AgentRoles, error) {
	var local *activities.Roles
	return g.rememberRoles(ctx, steps.RunLocal(ctx, "read the roles", local.LoadRoles, g.in.AgentID))
}

// rememberRoles takes in the roles that a step in Postgres returns.
func (g *guardian) rememberRoles(ctx workflow.Context, f workflow.Future) (*roles.AgentRoles, error) {
	var set roles.AgentRoles
	if err := f.Get(ctx, &set); err != nil {
		return nil, err
	}
	g.roles = &set
	return &set, nil
}

// enterPhase says for operators what the Guardian is doing.
func (g *guardian) enterPhase(ctx workflow.Context, format string, args ...any) {
	g.phase = fmt.Sprintf(format, args...)
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("agent `%s`: %s", g.in.AgentID, g.phase))
}

func (g *guardian) state() (GuardianState, error) {
	s := GuardianState{Roles: g.roles, Phase: g.phase, InFlight: g.inFlight}
	if g.roles != nil && g.roles.OpenSwitch != "" {
		s.Switch = SwitchID(g.roles.OpenSwitch)
	}
	return s, nil
}

// outcome is how a notice stands in the roles that were read last.
func (g *guardian) outcome(instanceID string) interruption.Outcome {
	if g.roles == nil {
		return interruption.Outcome{}
	}
	o, _ := g.roles.Outcome(instanceID, interruption.Termination)
	return o
}

// startOperation starts the workflow of a row that a decision has opened. The sweep does when
// that fails.
func (g *guardian) startOperation(ctx workflow.Context, operationID string, launcher agent.Launcher) {
	g.startRow(ctx, activities.OpenRow{ID: operationID, Launcher: string(launcher)})
}

func (g *guardian) startRow(ctx workflow.Context, row activities.OpenRow) {
	var msgs *activities.Messages
	row.ClientID, row.AgentID = g.roles.ClientID, g.in.AgentID
	steps.TrySendMessage(ctx, "start "+row.ID, msgs.StartOperation, row)
}
