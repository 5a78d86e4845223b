import { useInfiniteQuery, useQuery, useQueryClient } from '@tanstack/react-query'
import { useCallback, useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { useAddress } from '../lib/address'
import { money, percent, plural, words } from '../lib/format'
import { DataTable, type Column } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { AgentLink, ClientLink, OperationLink } from '../ui/links'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { PauseFields, usePauseWish } from '../ui/PauseFields'
import { SearchField } from '../ui/SearchField'
import { SwitchAgent } from '../ui/SwitchAgent'
import { When } from '../ui/time'
import { toggled } from './Operations'
import { refresh } from '../api/refresh'

type Agent = Schemas['fleetAgent']

const statuses = ['online', 'offline', 'disabled', 'switching', 'error'] as const

export default function Fleet() {
  const [at, set] = useAddress()
  const search = useCallback((q: string) => set({ q: q || undefined }), [set])
  const who = useQuery(q.session)
  const operator = who.data?.operator ?? false
  const filter = {
    ...(at.q ? { q: at.q } : {}), ...(at.client ? { client_id: at.client } : {}),
    ...(at.status ? { status: at.status } : {}), ...(at.mode ? { mode: at.mode } : {}), ...(at.needs ? { needs: at.needs } : {}),
  } as q.FleetFilter
  const list = useInfiniteQuery(q.fleet(filter))
  const rows = list.data?.pages.flatMap((p) => p.agents) ?? []
  const total = list.data?.pages[0]?.total
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set())
  const chosen = rows.filter((a) => picked.has(a.id))
  const columns: Column<Agent>[] = [
    { key: 'pick', title: 'Choose', bare: true, value: () => null, cell: (a) => <input type="checkbox" aria-label={'choose ' + a.name} checked={picked.has(a.id)} onChange={(e) => setPicked((old) => toggled(old, a.id, e.target.checked))} /> },
    { key: 'agent', title: 'Agent', value: (a) => a.name, cell: (a) => <div><AgentLink id={a.id} name={a.name} />{operator && <div className="muted"><ClientLink id={a.client_id} name={a.client_name} /></div>}</div> },
    { key: 'client', title: 'Client', csvOnly: true, value: (a) => a.client_name },
    { key: 'status', title: 'Status', value: (a) => a.status, cell: (a) => <div className="row"><Chip state={a.enabled ? a.status : 'disabled'} />{a.notice && <Chip state={a.notice} label="notice" />}{a.pause && <Chip state="paused" label={`paused (${a.pause.scope})`} />}</div> },
    { key: 'doing', title: 'Doing', value: (a) => a.operation?.phase ?? '', cell: (a) => a.operation ? <OperationLink id={a.operation.id}>{a.operation.kind}: {words(a.operation.phase)}</OperationLink> : <span className="muted">–</span> },
    { key: 'place', title: 'Lives in', value: (a) => a.primary?.pool_id ?? '', cell: (a) => a.primary ? <div className="nowrap">{a.primary.pool_id} <Chip state={a.primary.mode} label={a.primary.mode === 'ondemand' ? 'on demand' : a.primary.mode} /></div> : <span className="bad-text">no primary</span> },
    { key: 'standby', title: 'Standby', value: (a) => a.standby?.state ?? (a.keeping === 'manual' ? 'missing' : ''), cell: (a) => a.standby ? <Chip state={a.standby.state} /> : a.keeping === 'manual' ? <Chip state="warning" label="missing" /> : <span className="muted">{a.keeping === 'auto' ? 'when in danger' : 'none wanted'}</span> },
    { key: 'price', title: '$/h', numeric: true, value: (a) => a.primary?.price, cell: (a) => money(a.primary?.price) },
    { key: 'saved', title: 'Saved', numeric: true, value: (a) => saved(a), cell: (a) => percent(saved(a)) },
    { key: 'risk', title: 'Risk a day', numeric: true, value: (a) => a.risk, cell: (a) => percent(a.risk) },
    { key: 'epoch', title: 'Epoch', csvOnly: true, value: (a) => a.epoch },
    { key: 'beat', title: 'Heartbeat', value: (a) => a.last_heartbeat_at, cell: (a) => <div><When at={a.last_heartbeat_at} />{a.agent_version && <div className="muted">version {a.agent_version}</div>}</div> },
    { key: 'version', title: 'Version', csvOnly: true, value: (a) => a.agent_version },
    { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (a) => a.primary && a.enabled ? <SwitchAgent name={a.name} primary={{ id: a.primary.instance_id, pool: a.primary.pool_id, mode: a.primary.mode }} /> : null },
  ]
  return (
    <>
      <Head title="Fleet" lead={total == null ? undefined : plural(total, 'agent')}>
        {chosen.length > 0 && <PauseMany list={chosen} done={() => setPicked(new Set())} />}
      </Head>
      <div className="filters" role="search" aria-label="Filter agents">
        <SearchField label="Name or id" value={at.q ?? ''} onChange={search} />
        <label className="field">Status
          <select value={at.status ?? ''} onChange={(e) => set({ status: e.target.value || undefined })}><option value="">all</option>{statuses.map((s) => <option key={s}>{s}</option>)}</select>
        </label>
        <label className="field">Bought as
          <select value={at.mode ?? ''} onChange={(e) => set({ mode: e.target.value || undefined })}><option value="">all</option><option value="spot">spot</option><option value="ondemand">on demand</option></select>
        </label>
        <label className="field">Needs
          <select value={at.needs ?? ''} onChange={(e) => set({ needs: e.target.value || undefined })}><option value="">anything</option><option value="primary">a primary</option><option value="standby">a standby</option><option value="pause">to be resumed</option></select>
        </label>
        {at.client && <button onClick={() => set({ client: undefined })}>Only one client ✕</button>}
      </div>
      <Panel title="Agents" flush aside={<button className="plain" onClick={() => setPicked(picked.size ? new Set() : new Set(rows.map((a) => a.id).slice(0, 500)))}>{picked.size ? 'Choose none' : 'Choose all shown'}</button>}>
        <Show of={list} what="agents">{() => (
          <DataTable label="Agents" rows={rows} rowKey={(a) => a.id} csvName="fleet" columns={columns}
            onEnd={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : undefined}
            empty={Object.keys(filter).length ? <Empty title="No agent is like this."><button onClick={() => set({ q: undefined, status: undefined, mode: undefined, needs: undefined, client: undefined })}>Show all agents</button></Empty>
              : <Empty title="No agent has registered yet."><span>An agent on an instance registers with the token of its client. The page of a client has the three steps.</span></Empty>} />
        )}</Show>
        {list.hasNextPage && <div style={{ padding: 10 }}><button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show more</button></div>}
      </Panel>
    </>
  )
}

function saved(a: Agent): number | null {
  const p = a.primary
  return p?.price != null && p.on_demand_price ? 1 - p.price / p.on_demand_price : null
}

function PauseMany({ list, done }: { list: Agent[]; done: () => void }) {
  const client = useQueryClient()
  const say = useSay()
  const [wish, setWish] = usePauseWish()
  const ids = list.map((a) => a.id)
  const names = list.slice(0, 8).map((a) => a.name).join(', ') + (list.length > 8 ? ` and ${list.length - 8} more` : '')
  const after = async (what: string, got: Schemas['batchAnswer']) => {
    await refresh(client)
    done()
    say(`${plural(got.done, 'agent')} ${what}${got.refused ? `, ${got.refused} refused: ${got.results.find((r) => !r.ok)?.error}` : ''}.`, got.refused > 0)
  }
  return (
    <>
      <Ask needs="pauseAgents" trigger={<button>Pause {plural(list.length, 'agent')} …</button>} title={`Pause ${plural(list.length, 'agent')}?`} confirm="Pause" ready={wish.reason.trim() !== ''}
        act={async () => after('paused', await ask(api.POST('/api/fleet/pause', { body: { agent_ids: ids, minutes: wish.minutes, reason: wish.reason } })))}>
        <p>{names}: the engine moves none of them until then. Failovers go on.</p>
        <PauseFields wish={wish} onChange={setWish} />
      </Ask>
      <Ask needs="resumeAgents" trigger={<button>Resume {plural(list.length, 'agent')} …</button>} title={`Lift the pauses of ${plural(list.length, 'agent')}?`} confirm="Resume"
        act={async () => after('may move again', await ask(api.POST('/api/fleet/resume', { body: { agent_ids: ids } })))}>
        <p>{names}. A pause of their client or of all clients still holds.</p>
      </Ask>
    </>
  )
}
