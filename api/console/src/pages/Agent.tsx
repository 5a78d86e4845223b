import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { usePolling } from '../app/live'
import { useSay } from '../app/toasts'
import { useId } from '../lib/address'
import { duration, money, percent, plural, words } from '../lib/format'
import { modeWords } from '../lib/glossary'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { ClientLink, named, OperationLink, withIds } from '../ui/links'
import { Chip, Empty, Head, Loading, Panel, Show } from '../ui/parts'
import { PauseFields, usePauseWish } from '../ui/PauseFields'
import { Preflight } from '../ui/Preflight'
import { SwitchAgent } from '../ui/SwitchAgent'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

const PriceChart = lazy(() => import('../ui/PriceChart'))

type State = Schemas['agentStateAnswer']
type Explanation = Schemas['explanation']

export default function Agent() {
  const id = useId()
  const state = useQuery(q.agentState(id))
  return <Show of={state} what="the agent">{(s) => <Known s={s} />}</Show>
}

function Known({ s }: { s: State }) {
  const explain = useQuery(q.explain(s.agent_id))
  const list = useInfiniteQuery(q.fleet({ q: s.agent_id, client_id: s.client_id }))
  const me = list.data?.pages[0]?.agents[0]
  const name = me?.name ?? s.agent_id.slice(0, 8)
  const held = explain.data?.holds.pauses ?? []
  const preflight = useQuery(q.agentPreflight(s.agent_id))
  return (
    <>
      <Head title={name} crumb={<>Agent of <ClientLink id={s.client_id} name={me?.client_name} /></>}
        lead={<span className="row"><Chip state={s.status} />{held.map((p) => <Chip key={p.scope} state="paused" label={`paused (${p.scope})`} />)}<span>{modeWords[s.keeping] ?? s.keeping} · launched by the {words(s.launcher)} · {plural(s.epoch, 'change')} of primary</span>{me && <span>heartbeat <When at={me.last_heartbeat_at} /></span>}</span>}>
        <Actions s={s} name={name} paused={held.some((p) => p.scope === 'agent')} />
      </Head>
      <Roles s={s} me={me} />
      <div className="grid">
        <Panel title="Why">
          <Show of={explain} what="the reasons">{(e) => <Why e={e} offline={s.status === 'offline'} />}</Show>
        </Panel>
        <Timeline s={s} />
      </div>
      <Show of={explain} what="the places it could live in">{(e) => <Scores e={e} />}</Show>
      {s.primary && <Panel title={`Prices of ${s.primary.instance_type}`}><Suspense fallback={<Loading what="prices" />}><PriceChart pool={s.primary.pool_id} agent={s.agent_id} /></Suspense></Panel>}
      <Moves e={explain.data} />
      <Preflight title="Could it be replaced now" of={preflight} />
      <Follows id={s.agent_id} />
      <Settings s={s} e={explain.data} enabled={me?.enabled} name={name} />
    </>
  )
}

/** Roles shows who plays which part: the primary, what stands by, what is about to go. */
function Roles({ s, me }: { s: State; me?: Schemas['fleetAgent'] }) {
  return (
    <Panel title="Roles" aside={<span className="muted">epoch {s.epoch}</span>}>
      <div className="graph" role="list">
        <div className="node primary" role="listitem">
          <strong>Primary</strong>
          {s.primary ? <>
            <span className="mono">{s.primary.id}</span>
            <span>{s.primary.pool_id} <Chip state={s.primary.mode} label={s.primary.mode === 'ondemand' ? 'on demand' : s.primary.mode} /></span>
            <span className="muted">{money(me?.primary?.price)}/h, on demand {money(me?.primary?.on_demand_price)}/h</span>
          </> : <span className="bad-text">none</span>}
        </div>
        {s.replicas.map((r) => (
          <div key={r.id} className={'node ' + (r.state === 'retiring' ? 'retiring' : 'standby')} role="listitem">
            <strong>{r.state === 'retiring' ? 'Retiring' : 'Standby'}</strong>
            <span className="mono">{r.instance_id ?? 'no instance yet'}</span>
            <span>{r.pool_id}</span>
            <span className="row"><Chip state={r.state} /><span className="muted">{r.kind}</span></span>
            {r.state !== 'retiring' && <Promote s={s} r={r} />}
          </div>
        ))}
        {s.operations.filter((o) => o.kind !== 'replica').map((o) => (
          <div key={o.id} className="node" role="listitem">
            <strong><OperationLink id={o.id}>{words(o.kind)}</OperationLink></strong>
            <span>{words(o.phase)}</span>
          </div>
        ))}
        {s.replicas.length === 0 && <div className="node" role="listitem"><strong>No standby</strong><span className="muted">{s.keeping === 'auto' ? 'One is launched when the primary is in danger.' : s.keeping === 'manual' ? 'One is wanted and not there yet.' : 'None is wanted in this mode.'}</span></div>}
      </div>
    </Panel>
  )
}

/** Follows is what an agent's next instance has of the present one, and what it lacks. */
function Follows({ id }: { id: string }) {
  const soon = usePolling(5_000), later = usePolling(60_000)
  const description = useQuery({ ...q.agentDescription(id), refetchInterval: (x) => (x.state.data?.revision === 0 ? soon : later) })
  return (
    <Panel title="What follows it to its next instance" aside={description.data?.read_at && <span className="muted">EC2 was asked <When at={description.data.read_at} /></span>}>
      <Show of={description} what="what EC2 says">{(d) => d.revision === 0 ? <Empty title="EC2 was not asked yet."><span>It is asked within a minute of the registration, and again every few hours.</span></Empty> : (
        <div className="stack">
          {d.lacks.map((x) => <div key={x}><Chip state="warning" label="does not follow" /> {x}</div>)}
          {d.unread.map((x) => <div key={x}><Chip state="warning" label="could not be read" /> {x}</div>)}
          <dl className="facts">
            <div><dt>Image</dt><dd><span className="mono">{d.image_id || '–'}</span> {d.product}</dd></div>
            <div><dt>Role</dt><dd className="mono">{d.instance_profile_arn || 'none'}</dd></div>
            <div><dt>User data</dt><dd>{d.user_data === 'hidden' ? 'may not be read: the next instance starts without it' : d.user_data}</dd></div>
            <div><dt>Network</dt><dd>{d.security_group_ids.join(', ') || 'no groups'}; a subnet in {d.zones.join(', ') || 'no zone'}</dd></div>
            <div><dt>Volumes</dt><dd>{d.volumes.length === 0 ? 'as the image says' : <ul className="sentences">{d.volumes.map((v) => <li key={v.device}><span className="mono">{v.device}</span>, {v.gib ? `${v.gib} GiB` : 'as large as the image'} {v.type}{v.encrypted && ', encrypted'}{v.snapshot_id && <>, begins as <span className="mono">{v.snapshot_id}</span></>}{v.outlives_instance && ', stays when its instance ends'}</li>)}</ul>}</dd></div>
            <div><dt>Tags</dt><dd>{d.tags.length === 0 ? 'none' : <ul className="sentences">{d.tags.map((t) => <li key={t.key}><bdi>{t.key}</bdi> = <bdi>{t.value}</bdi></li>)}</ul>}</dd></div>
          </dl>
          <p className="muted">A new volume begins as its image or snapshot: what was written since is not copied. Load balancers and names follow through the hooks of the agent.</p>
        </div>
      )}</Show>
    </Panel>
  )
}

function Promote({ s, r }: { s: State; r: Schemas['stateReplica'] }) {
  const client = useQueryClient()
  const say = useSay()
  const [keep, setKeep] = useState(true)
  return (
    <Ask needs="promoteReplica" trigger={<button disabled={r.state !== 'ready'}>Promote …</button>} title={`Make ${r.instance_id ?? 'it'} the primary?`} confirm="Promote"
      act={async () => {
        const got = await ask(api.POST('/api/agents/{agent_id}/replicas/{replica_id}/promote', { params: { path: { agent_id: s.agent_id, replica_id: r.id } }, body: { demote_old_primary: keep } }))
        await refresh(client)
        say(<>{got.message} {got.operation_id && <OperationLink id={got.operation_id}>See the promotion</OperationLink>}</>)
      }}>
      <p>{r.instance_id} leads instead of {s.primary?.id ?? 'nothing'}; the epoch goes from {s.epoch} to {s.epoch + 1}.</p>
      <label className="check"><input type="checkbox" checked={keep} onChange={(e) => setKeep(e.target.checked)} />Keep {s.primary?.id ?? 'the old primary'} as the standby</label>
    </Ask>
  )
}

function Why({ e, offline }: { e: Explanation; offline: boolean }) {
  return (
    <div className="stack">
      {offline && <p className="bad-text">The agent is silent: what follows is judged from what it said last.</p>}
      <ul className="sentences">{e.sentences.map((t, i) => <li key={i}>{t}</li>)}</ul>
      {e.now.vetoes.length > 0 && <div className="stack"><h3>What holds a move back</h3>{e.now.vetoes.map((v) => <div key={v.code}><Chip state="warning" label={words(v.code)} /> {v.reason}</div>)}</div>}
      <div className="muted">{e.now.engine} {e.now.engine_version} · {e.activity.switches_day} of at most {plural(e.limits.max_switches_per_day, 'switch', 'switches')} today, {e.activity.switches_week} of {e.limits.max_switches_per_week} this week · {e.holds.client_moving} of {plural(e.holds.client_agents, 'agent')} of the client {e.holds.client_moving === 1 ? 'is' : 'are'} moving</div>
    </div>
  )
}

function Scores({ e }: { e: Explanation }) {
  return (
    <Panel title="Places it could live in" flush>
      <DataTable label="Places it could live in" rows={e.now.scores} rowKey={(x) => x.mode + x.pool_id} csvName="scores" empty={<Empty title="No price of any pool is known yet." />}
        columns={[
          { key: 'pool', title: 'Pool', value: (x) => x.pool_id || 'on demand', cell: (x) => <span className="row">{x.pool_id || 'on demand'}{x.current && <Chip state="active" label="lives here" />}</span> },
          { key: 'price', title: '$/h', numeric: true, value: (x) => x.price, cell: (x) => money(x.price) },
          { key: 'risk', title: 'Risk a day', numeric: true, value: (x) => x.risk, cell: (x) => percent(x.risk) },
          { key: 'cost', title: 'Cost with risk', numeric: true, value: (x) => x.cost, cell: (x) => money(x.cost) },
          { key: 'gain', title: 'Gain/h', numeric: true, value: (x) => x.gain, cell: (x) => money(x.gain) },
          { key: 'vetoes', title: 'Held back by', value: (x) => (x.vetoes ?? []).map((v) => v.code).join(' '), cell: (x) => (x.vetoes ?? []).length ? <ul className="sentences">{(x.vetoes ?? []).map((v) => <li key={v.code}>{v.reason}</li>)}</ul> : <Chip state="ready" label="nothing" /> },
        ]} />
    </Panel>
  )
}

function Timeline({ s }: { s: State }) {
  const list = useInfiniteQuery(q.events({ agent_id: s.agent_id }, 60))
  const rows = (list.data?.pages.flatMap((p) => p.events) ?? []).filter((e) => e.type !== 'agent_registered').slice(0, 30)
  return (
    <Panel title="What happened">
      <Show of={list} what="events">{() => rows.length === 0 ? <Empty title="Nothing yet." /> : (
        <ol className="timeline">{rows.map((e) => (
          <li key={e.id}><When at={e.at} /><span>{e.severity !== 'info' && <Chip state={e.severity} />} {withIds(named(e.message, e.agent_id, e.agent_name))}{e.actor !== 'system' && <span className="muted"> · {e.actor}</span>}</span></li>
        ))}</ol>
      )}</Show>
    </Panel>
  )
}

function Moves({ e }: { e?: Explanation }) {
  if (!e || e.switches.length === 0) return null
  return (
    <Panel title="Switches" flush>
      <DataTable label="Switches" rows={e.switches} rowKey={(x) => x.at + x.to_mode + x.to_pool_id} csvName="switches" empty={null}
        columns={[
          { key: 'at', title: 'Began', value: (x) => x.at, cell: (x) => <When at={x.at} /> },
          { key: 'from', title: 'From', value: (x) => x.from_pool_id ?? x.from_mode },
          { key: 'to', title: 'To', value: (x) => x.to_pool_id ?? x.to_mode },
          { key: 'by', title: 'Asked for by', value: (x) => x.by || x.trigger },
          { key: 'phase', title: 'Phase', value: (x) => words(x.phase), cell: (x) => x.operation_id ? <OperationLink id={x.operation_id}>{words(x.phase)}</OperationLink> : words(x.phase) },
          { key: 'impact', title: 'Saves $/h', numeric: true, value: (x) => x.savings_impact_per_hour, cell: (x) => money(x.savings_impact_per_hour) },
          { key: 'why', title: 'Reason', value: (x) => x.reason },
        ]} />
    </Panel>
  )
}

function Actions({ s, name, paused }: { s: State; name: string; paused: boolean }) {
  const client = useQueryClient()
  const say = useSay()
  const [wish, setWish] = usePauseWish()
  const path = { params: { path: { agent_id: s.agent_id } } }
  return (
    <>
      {s.primary && <SwitchAgent name={name} primary={{ id: s.primary.id, pool: s.primary.pool_id, mode: s.primary.mode }} main />}
      {s.keeping === 'manual' && s.replicas.length === 0 && (
        <Ask needs="createReplica" trigger={<button>Launch a standby …</button>} title={`Launch a standby for ${name}?`} confirm="Launch"
          act={async () => {
            await ask(api.POST('/api/agents/{agent_id}/replicas', { ...path, body: {} }))
            await refresh(client)
            say('A standby is being launched.')
          }}><p>It runs, and costs, until it is promoted or the mode changes.</p></Ask>
      )}
      {paused ? (
        <Ask needs="resumeAgent" trigger={<button>Resume …</button>} title={`Let ${name} move again?`} confirm="Resume"
          act={async () => {
            await ask(api.POST('/api/client/agents/{agent_id}/resume', path))
            await refresh(client)
            say(`${name} may move again.`)
          }}><p>A pause of its client or of all clients still holds.</p></Ask>
      ) : (
        <Ask needs="pauseAgent" trigger={<button>Pause …</button>} title={`Pause the voluntary moves of ${name}?`} confirm="Pause" ready={wish.reason.trim() !== ''}
          act={async () => {
            await ask(api.POST('/api/client/agents/{agent_id}/pause', { ...path, body: { minutes: wish.minutes, reason: wish.reason } }))
            await refresh(client)
            say(`${name} is paused.`)
          }}><p>The engine does not move it until then. A failover after a notice goes on.</p><PauseFields wish={wish} onChange={setWish} /></Ask>
      )}
      <Retire s={s} name={name} />
    </>
  )
}

function Retire({ s, name }: { s: State; name: string }) {
  const client = useQueryClient()
  const say = useSay()
  const [typed, setTyped] = useState('')
  return (
    <Ask needs="deleteAgent" trigger={<button className="danger">Retire …</button>} title={`Retire ${name} for good?`} confirm="Retire it" danger ready={typed === name}
      act={async () => {
        await ask(api.DELETE('/api/client/agents/{agent_id}', { params: { path: { agent_id: s.agent_id } } }))
        await refresh(client)
        say(`${name} is being retired.`)
      }}>
      <p>What was launched for it is ended. This cannot be undone.</p>
      <label className="field">Type {name} to confirm<input value={typed} onChange={(e) => setTyped(e.target.value)} autoComplete="off" /></label>
    </Ask>
  )
}

const modes = ['off', 'manual', 'auto'] as const
type Mode = (typeof modes)[number]

/** Settings shows what a change will change before it is saved. */
function Settings({ s, e, enabled, name }: { s: State; e?: Explanation; enabled?: boolean; name: string }) {
  const client = useQueryClient()
  const say = useSay()
  const [draft, setDraft] = useState<Record<string, number>>({})
  const [wanted, setWanted] = useState<Mode | null>(null)
  if (!e) return null
  const fields = [
    ['min_savings_percent', 'Least saving, %', e.limits.min_savings_percent], ['risk_threshold', 'Most risk a day, 0 to 1', e.limits.risk_threshold],
    ['max_switches_per_day', 'Switches a day, at most', e.limits.max_switches_per_day], ['max_switches_per_week', 'Switches a week, at most', e.limits.max_switches_per_week],
    ['min_pool_duration_hours', 'Hours in a pool, at least', e.limits.min_pool_duration_hours],
  ] as const
  const changed = fields.filter(([key, , was]) => draft[key] !== undefined && !Number.isNaN(draft[key]) && draft[key] !== was)
  const mode = wanted !== null && wanted !== s.keeping ? wanted : null
  const changes = changed.length + (mode ? 1 : 0)
  const path = { params: { path: { agent_id: s.agent_id } } }
  const old = () => refresh(client)
  return (
    <Panel title="Settings" aside={<span className="row">
      {enabled !== undefined && (
        <Ask needs="toggleAgent" trigger={<button>{enabled ? 'Disable …' : 'Enable …'}</button>} title={enabled ? `Disable ${name}?` : `Enable ${name}?`} confirm={enabled ? 'Disable it' : 'Enable it'}
          act={async () => { await ask(api.POST('/api/client/agents/{agent_id}/toggle-enabled', { ...path, body: { enabled: !enabled } })); await old(); say(`${name} is ${enabled ? 'disabled' : 'enabled'}.`) }}>
          <p>{enabled ? 'The engine judges it no more, and moves it no more, until it is enabled again. Its instances run on.' : 'The engine judges it again, and may move it.'}</p>
        </Ask>
      )}
      {changes > 0 && (
        <Ask needs="changeAgentSettings" trigger={<button className="primary">Save {plural(changes, 'change')} …</button>} title="Save these settings?" confirm="Save"
          act={async () => {
            if (changed.length > 0) await ask(api.POST('/api/client/agents/{agent_id}/settings', { ...path, body: Object.fromEntries(changed.map(([k]) => [k, draft[k]!])) }))
            if (mode) await ask(api.POST('/api/client/agents/{agent_id}/config', { ...path, body: mode === 'off' ? { autoSwitchEnabled: false, manualReplicaEnabled: false } : mode === 'auto' ? { autoSwitchEnabled: true } : { manualReplicaEnabled: true } }))
            await old()
            setDraft({})
            setWanted(null)
            say('The settings are saved.')
          }}>
          <table><thead><tr><th scope="col">Setting</th><th scope="col">Now</th><th scope="col">Then</th></tr></thead>
            <tbody>
              {mode && <tr><td>Standbys</td><td>{modeWords[s.keeping] ?? s.keeping}</td><td><strong>{modeWords[mode]}</strong></td></tr>}
              {changed.map(([key, label, was]) => <tr key={key}><td>{label}</td><td>{was}</td><td><strong>{draft[key]}</strong></td></tr>)}
            </tbody></table>
          {mode && <p>{mode === 'manual' ? 'A standby is launched; it runs, and costs, until it is promoted or this changes.' : 'A standby that the present setting keeps is ended.'}</p>}
        </Ask>
      )}
    </span>}>
      <div className="filters">
        <label className="field">Standbys
          <select value={wanted ?? s.keeping} onChange={(ev) => setWanted(ev.target.value as Mode)}>{modes.map((m) => <option key={m} value={m}>{modeWords[m]}</option>)}</select>
        </label>
        {fields.map(([key, label, was]) => (
          <label className="field" key={key}>{label}
            <input type="number" step="any" min={0} value={Number.isNaN(draft[key]) ? '' : draft[key] ?? was} onChange={(ev) => setDraft(({ [key]: _, ...rest }) => ev.target.value === '' ? { ...rest, [key]: NaN } : { ...rest, [key]: Number(ev.target.value) })} style={{ width: 150 }} />
          </label>
        ))}
      </div>
      <p className="muted" style={{ marginTop: 8 }}>Cool-down after a move: {duration(e.limits.cool_down_minutes * 60_000)}. At most {e.limits.max_moving_percent} % of the client's agents move at once.</p>
    </Panel>
  )
}
