import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { usePolling } from '../app/live'
import { useSay } from '../app/toasts'
import { count, duration, money, percent, plural, words } from '../lib/format'
import { boughtAs } from '../lib/glossary'
import { AnswerMove } from '../ui/AnswerMove'
import { CallOff } from '../ui/CallOff'
import { DataTable } from '../ui/DataTable'
import { Decide } from '../ui/Decide'
import { Ask } from '../ui/Dialog'
import { AgentLink, ClientLink, OperationLink, named, withIds } from '../ui/links'
import { Chip, Empty, Figure, Head, Panel, Problem, Show } from '../ui/parts'
import { PauseFields, usePauseWish } from '../ui/PauseFields'
import { Countdown, When } from '../ui/time'
import { refresh } from '../api/refresh'

/** What happens at this moment: the page that stays open. */
export default function Now() {
  const who = useQuery(q.session)
  const overview = useQuery(q.overview)
  const operator = who.data?.operator ?? false
  return (
    <>
      <Head title="Now" lead="What is happening, and what needs a person.">{operator && <PauseAll />}</Head>
      <Show of={overview} what="the fleet">{(o) => <Figures o={o} />}</Show>
      {operator && <Degraded />}
      <Waiting />
      <Asked />
      <Notices />
      <div className="grid lead">
        <Running />
        <div className="stack">
          {operator && <Pauses />}
          <Interruptions list={overview.data?.interruptions_last_day ?? []} />
        </div>
      </div>
    </>
  )
}

function base(path: string): string {
  return (window.location.pathname.startsWith('/console') ? '/console' : '') + path
}

function Figures({ o }: { o: Schemas['overviewAnswer'] }) {
  const saved = o.cost.on_demand_hourly - o.cost.hourly
  return (
    <div className="figures">
      <Figure n={count(o.agents.without_primary)} k="agents without a primary" tone={o.agents.without_primary > 0 ? 'bad' : undefined} to={base('/fleet?needs=primary')} />
      <Figure n={count(o.notices_undelivered)} k={o.notices_undelivered > 0 ? `notices wait to be judged, ${duration(o.oldest_undelivered_seconds * 1000)}` : 'notices wait to be judged'} tone={o.notices_undelivered > 0 && o.oldest_undelivered_seconds > 5 ? 'bad' : undefined} />
      <Figure n={count(o.agents.offline)} k={`of ${plural(o.agents.total, 'agent')} silent`} tone={o.agents.offline > 0 ? 'bad' : undefined} to={base('/fleet?status=offline')} />
      <Figure n={count(o.agents.without_standby)} k="standbys wanted, not ready" tone={o.agents.without_standby > 0 ? 'warn' : undefined} to={base('/fleet?needs=standby')} />
      <Figure n={count(o.operations_failed_last_day)} k="operations failed in a day" tone={o.operations_failed_last_day > 0 ? 'warn' : undefined} to={base('/operations?state=failed')} />
      <Figure n={`${money(o.cost.hourly)}/h`} k={`on demand ${money(o.cost.on_demand_hourly)}/h · ${saved >= 0 ? 'saves' : 'costs more:'} ${money(Math.abs(saved))}${o.cost.on_demand_hourly > 0 ? `, ${percent(Math.abs(saved) / o.cost.on_demand_hourly)}` : ''}`} to={base('/savings')} />
      <Figure n={`${money(o.cost.standby_hourly)}/h`} k={`of it for what runs beside primaries, ${plural(o.standbys, 'standby', 'standbys')}`} />
    </div>
  )
}

function PauseAll() {
  const client = useQueryClient()
  const say = useSay()
  const [wish, setWish] = usePauseWish()
  return (
    <Ask needs="pauseMoves" trigger={<button className="danger">Pause all moves …</button>} title="Pause the voluntary moves of all clients?" confirm="Pause all" danger ready={wish.reason.trim() !== ''}
      act={async () => {
        await ask(api.POST('/api/admin/pauses', { body: { scope: 'global', minutes: wish.minutes, reason: wish.reason } }))
        await refresh(client)
        say('All voluntary moves are paused.')
      }}>
      <p>No agent is moved by the engine until then. Failovers after a notice, and switches that a person forces, go on.</p>
      <PauseFields wish={wish} onChange={setWish} />
    </Ask>
  )
}

function Degraded() {
  const parts = useQuery({ ...q.dependencies, refetchInterval: usePolling(15_000) })
  if (parts.error) return <Problem error={parts.error} retry={() => void parts.refetch()} />
  const bad = (parts.data?.dependencies ?? []).filter((p) => !p.ok)
  if (bad.length === 0) return null
  return (
    <div className="problem" role="alert">
      <strong>{plural(bad.length, 'part')} of Spotkeeper {bad.length === 1 ? 'does' : 'do'} not work: {bad.map((p) => words(p.name)).join(', ')}.</strong>
      {bad.map((p) => <div key={p.name}>{words(p.name)}: {p.error}{p.degrades ? ' Spotkeeper works without it, with less.' : ''}</div>)}
    </div>
  )
}

function Notices() {
  const open = useQuery(q.notices({ state: 'open' }))
  return (
    <Panel title="Notices that stand" flush aside={open.data && <span className="muted">{plural(open.data.notices.length, 'notice')}</span>}>
      <Show of={open} what="notices">{(d) => (
        <DataTable label="Notices that stand" rows={d.notices} rowKey={(n) => n.agent_id + n.instance_id + n.kind} sortable={false}
          empty={<Empty title="No instance is being taken."><span>A notice appears here the moment it arrives, with the time that is left.</span></Empty>}
          columns={[
            { key: 'left', title: 'Left', value: (n) => n.deadline, cell: (n) => <Countdown to={n.deadline} label={`time left for ${n.agent_name}`} /> },
            { key: 'agent', title: 'Agent', value: (n) => n.agent_name, cell: (n) => <div><AgentLink id={n.agent_id} name={n.agent_name} /><div className="muted">{n.client_name}</div></div> },
            { key: 'kind', title: 'Notice', value: (n) => n.kind, cell: (n) => <Chip state={n.kind} label={n.kind === 'termination-notice' ? 'termination' : 'rebalance'} /> },
            { key: 'instance', title: 'Instance', value: (n) => n.instance_id, cell: (n) => <div><span className="mono">{n.instance_id}</span><div className="muted">{n.pool_id}</div></div> },
            { key: 'result', title: 'Outcome', value: (n) => n.result, cell: (n) => (
              <div><Chip state={n.result} label={n.result === 'open' ? 'looking for a successor' : undefined} />{n.decided_ms != null && <span className="muted"> after {duration(n.decided_ms)}</span>}{n.new_primary && <div className="mono muted">{n.new_primary}</div>}</div>
            ) },
            { key: 'step', title: 'Step', value: (n) => n.phase, cell: (n) => n.operation_id ? <OperationLink id={n.operation_id}>{words(n.phase) || 'waterfall'}</OperationLink> : <span className="muted">{words(n.phase) || '–'}</span> },
          ]} />
      )}</Show>
    </Panel>
  )
}

/** Waiting is what cannot go on by itself, with what to do. */
function Waiting() {
  const running = useInfiniteQuery(q.operations({ state: 'running' }, 30))
  const list = running.data?.pages.flatMap((p) => p.operations).filter((o) => o.waits_for != null) ?? []
  if (list.length === 0) return null
  return (
    <Panel title="Waits for a person" flush aside={<span className="muted">{plural(list.length, 'operation')}</span>}>
      <DataTable label="Waits for a person" rows={list} rowKey={(o) => o.id} sortable={false} empty={null}
        columns={[
          { key: 'what', title: 'What', value: (o) => o.waits_for, cell: (o) => <div><OperationLink id={o.id}>{named(o.summary, o.agent_id, o.agent_name) || o.kind}</OperationLink><div>{o.waits_for}</div></div> },
          { key: 'since', title: 'Since', value: (o) => o.updated_at, cell: (o) => <When at={o.updated_at} /> },
          { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (o) => <Decide op={o} /> },
        ]} />
    </Panel>
  )
}

/** Asked are the voluntary moves that wait for a yes or a no. */
function Asked() {
  const asked = useInfiniteQuery(q.approvals({ state: 'pending' }))
  const list = asked.data?.pages.flatMap((p) => p.approvals) ?? []
  if (list.length === 0) return null
  return (
    <Panel title="Waits for an approval" flush aside={<a href={base('/approvals')}>All</a>}>
      <DataTable label="Waits for an approval" rows={list} rowKey={(a) => a.id} sortable={false} empty={null}
        columns={[
          { key: 'left', title: 'Left', value: (a) => a.expires_at, cell: (a) => <Countdown to={a.expires_at} label={`time left to answer for ${a.agent_name}`} /> },
          { key: 'agent', title: 'Agent', value: (a) => a.agent_name, cell: (a) => <div><AgentLink id={a.agent_id} name={a.agent_name} /><div className="muted">{a.client_name}</div></div> },
          { key: 'move', title: 'Move', value: (a) => a.target_pool_id, cell: (a) => <div><span className="mono">{a.instance_id} → {a.target_pool_id ?? boughtAs(a.target_mode)}</span><div>{withIds(named(a.reason, a.agent_id, a.agent_name))}</div></div> },
          { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (a) => <AnswerMove a={a} /> },
        ]} />
    </Panel>
  )
}

function Running() {
  const running = useInfiniteQuery(q.operations({ state: 'running' }, 30))
  const list = running.data?.pages.flatMap((p) => p.operations).filter((o) => !(o.kind === 'replica' && o.phase === 'standing_by')) ?? []
  return (
    <Panel title="Operations in flight" flush aside={<a href={base('/operations?state=running')}>All</a>}>
      <Show of={running} what="operations">{() => (
        <DataTable label="Operations in flight" rows={list} rowKey={(o) => o.id} sortable={false} empty={<Empty title="Nothing is in flight."><span>Standbys that are held ready do not count.</span></Empty>}
          columns={[
            { key: 'kind', title: 'Kind', value: (o) => o.kind, cell: (o) => <OperationLink id={o.id}>{o.kind}</OperationLink> },
            { key: 'phase', title: 'Phase', value: (o) => o.phase, cell: (o) => <Chip state="running" label={words(o.phase) || 'begun'} /> },
            { key: 'summary', title: 'What', value: (o) => o.summary, cell: (o) => withIds(named(o.summary, o.agent_id, o.agent_name)) },
            { key: 'since', title: 'Since', value: (o) => o.started_at, cell: (o) => <When at={o.started_at} /> },
            { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (o) => o.kind === 'termination' ? null : <CallOff op={o} /> },
          ]} />
      )}</Show>
    </Panel>
  )
}

function Pauses() {
  const client = useQueryClient()
  const say = useSay()
  const pauses = useQuery(q.pauses)
  return (
    <Panel title="Pauses that hold" flush>
      <Show of={pauses} what="pauses">{(d) => (
        <DataTable label="Pauses that hold" rows={d.pauses} rowKey={(p) => p.scope + p.client_id + p.agent_id + p.by_operator} sortable={false} empty={<Empty title="Nothing is paused." />}
          columns={[
            { key: 'scope', title: 'Of', value: (p) => p.scope, cell: (p) => p.agent_id ? <AgentLink id={p.agent_id} name={p.agent_name} /> : p.client_id ? <ClientLink id={p.client_id} name={p.client_name} /> : <strong>all clients</strong> },
            { key: 'until', title: 'Until', value: (p) => p.until, cell: (p) => <When at={p.until} /> },
            { key: 'reason', title: 'Reason', value: (p) => p.reason, cell: (p) => <div>{p.reason || '–'}<div className="muted">{p.created_by}</div></div> },
            { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (p) => (
              <Ask needs="resumeMoves" trigger={<button>Resume</button>} title={p.scope === 'global' ? 'Let all agents move again?' : 'Lift this pause?'} confirm="Resume"
                act={async () => {
                  const query = p.agent_id ? { agent_id: p.agent_id } : p.client_id ? { client_id: p.client_id } : { scope: 'global' as const }
                  await ask(api.DELETE('/api/admin/pauses', { params: { query } }))
                  await refresh(client)
                  say('The pause is lifted.')
                }}>
                <p>{p.created_by} paused it: {p.reason || 'no reason given'}.</p>
              </Ask>
            ) },
          ]} />
      )}</Show>
    </Panel>
  )
}

function Interruptions({ list }: { list: Schemas['poolInterruptions'][] }) {
  const most = Math.max(1, ...list.map((p) => p.terminations + p.rebalances))
  return (
    <Panel title="Interruptions in 24 hours, by pool">
      {list.length === 0 ? <Empty title="AWS announced none." /> : (
        <div className="bars">
          {list.slice(0, 12).map((p) => (
            <div className="bar" key={p.pool_id}>
              <a className="mono" href={base('/pools?pool=' + encodeURIComponent(p.pool_id))}>{p.pool_id}</a>
              <span className="track" aria-hidden="true"><span className="fill warn" style={{ width: `${((p.terminations + p.rebalances) / most) * 100}%` }} /></span>
              <span>{plural(p.terminations, 'notice')}, {plural(p.rebalances, 'rebalance')}</span>
            </div>
          ))}
        </div>
      )}
    </Panel>
  )
}
