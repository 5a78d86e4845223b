import { useInfiniteQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { useAddress } from '../lib/address'
import { duration, plural, words } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { AgentLink, OperationLink, named, withIds } from '../ui/links'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

const kinds = ['switch', 'replica', 'termination', 'promotion', 'removal', 'adoption'] as const
const states = ['running', 'succeeded', 'failed', 'cancelled'] as const

export default function Operations() {
  const [at, set] = useAddress()
  const filter: q.OperationFilter = {
    ...(kinds.includes(at.kind as never) ? { kind: at.kind as q.OperationFilter['kind'] } : {}),
    ...(states.includes(at.state as never) ? { state: at.state as q.OperationFilter['state'] } : {}),
    ...(at.agent ? { agent_id: at.agent } : {}),
    ...(at.cause ? { cause: at.cause } : {}),
  }
  const list = useInfiniteQuery(q.operations(filter, 100))
  const rows = list.data?.pages.flatMap((p) => p.operations) ?? []
  const [picked, setPicked] = useState<ReadonlySet<string>>(new Set())
  const running = rows.filter((o) => o.state === 'running' && picked.has(o.id))
  return (
    <>
      <Head title="Operations" lead="Each run of a workflow that changes an agent.">
        {running.length > 0 && <CancelMany list={running} done={() => setPicked(new Set())} />}
      </Head>
      <div className="filters" role="search" aria-label="Filter operations">
        <label className="field">Kind
          <select value={at.kind ?? ''} onChange={(e) => set({ kind: e.target.value || undefined })}>
            <option value="">all</option>{kinds.map((k) => <option key={k}>{k}</option>)}
          </select>
        </label>
        <label className="field">State
          <select value={at.state ?? ''} onChange={(e) => set({ state: e.target.value || undefined })}>
            <option value="">all</option>{states.map((k) => <option key={k}>{k}</option>)}
          </select>
        </label>
        {at.cause && <button onClick={() => set({ cause: undefined })}>Only because of {words(at.cause)} ✕</button>}
        {at.agent && <button onClick={() => set({ agent: undefined })}>Only agent {at.agent.slice(0, 8)} ✕</button>}
      </div>
      <Panel title={at.state ? words(at.state) : 'Newest first'} flush>
        <Show of={list} what="operations">{() => (
          <DataTable label="Operations" rows={rows} rowKey={(o) => o.id} csvName="operations" onEnd={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : undefined}
            empty={<Empty title="No operation is like this."><span>An operation begins when an agent is moved, gets a standby, is interrupted, promoted or removed.</span></Empty>}
            columns={[
              { key: 'pick', title: 'Choose', bare: true, value: () => null, cell: (o) => o.state === 'running' ? (
                <input type="checkbox" aria-label={'choose ' + o.summary} checked={picked.has(o.id)} onChange={(e) => setPicked((old) => toggled(old, o.id, e.target.checked))} />
              ) : null },
              { key: 'kind', title: 'Kind', value: (o) => o.kind, cell: (o) => <OperationLink id={o.id}>{o.kind}</OperationLink> },
              { key: 'state', title: 'State', value: (o) => o.state, cell: (o) => <Chip state={o.state} /> },
              { key: 'phase', title: 'Phase', value: (o) => words(o.phase) },
              { key: 'summary', title: 'What', value: (o) => o.summary, cell: (o) => <div>{withIds(named(o.summary, o.agent_id, o.agent_name))}{o.error_message && <div className="bad-text">{o.error_message} <span className="mono">{o.error_code}</span></div>}</div> },
              { key: 'agent', title: 'Agent', value: (o) => o.agent_name || o.agent_id, cell: (o) => <AgentLink id={o.agent_id} name={o.agent_name} /> },
              { key: 'cause', title: 'Cause', value: (o) => o.cause, cell: (o) => o.cause ? <button className="plain" title="Only operations of this cause" onClick={() => set({ cause: o.cause })}>{words(o.cause)}</button> : '–' },
              { key: 'tries', title: 'Tries', numeric: true, value: (o) => o.tries, cell: (o) => <span>{o.tries}{o.next_try_at && <span className="muted">, next <When at={o.next_try_at} /></span>}</span> },
              { key: 'took', title: 'Took', numeric: true, value: (o) => o.ended_at ? Date.parse(o.ended_at) - Date.parse(o.started_at) : null, cell: (o) => o.ended_at ? duration(Date.parse(o.ended_at) - Date.parse(o.started_at)) : '–' },
              { key: 'began', title: 'Began', value: (o) => o.started_at, cell: (o) => <When at={o.started_at} /> },
            ]} />
        )}</Show>
        {list.hasNextPage && <div style={{ padding: 10 }}><button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show more</button></div>}
      </Panel>
    </>
  )
}

export function toggled(old: ReadonlySet<string>, id: string, on: boolean): ReadonlySet<string> {
  const next = new Set(old)
  if (on) next.add(id)
  else next.delete(id)
  return next
}

function CancelMany({ list, done }: { list: Schemas['operationAnswer'][]; done: () => void }) {
  const client = useQueryClient()
  const say = useSay()
  return (
    <Ask needs="cancelOperations" trigger={<button className="danger">Call {plural(list.length, 'operation')} off …</button>} title={`Call ${plural(list.length, 'operation')} off?`} confirm="Call off" danger
      act={async () => {
        const got = await ask(api.POST('/api/fleet/cancel', { body: { operation_ids: list.map((o) => o.id) } }))
        await refresh(client)
        done()
        say(got.refused ? `${got.done} called off. ${got.refused} went on: ${got.results.find((r) => !r.ok)?.error}` : `${plural(got.done, 'operation')} called off.`, got.refused > 0)
      }}>
      <ul>{list.slice(0, 12).map((o) => <li key={o.id}>{o.summary}</li>)}</ul>
      <p>What they launched is ended. One that is past its point of no return goes on.</p>
    </Ask>
  )
}
