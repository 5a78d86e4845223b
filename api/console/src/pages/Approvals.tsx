import { useInfiniteQuery } from '@tanstack/react-query'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { boughtAs, moveKinds } from '../lib/glossary'
import { AnswerMove } from '../ui/AnswerMove'
import { DataTable } from '../ui/DataTable'
import { AgentLink, ClientLink, OperationLink, named, withIds } from '../ui/links'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { Countdown, When } from '../ui/time'

const states = ['pending', 'approved', 'rejected', 'lapsed', 'outdated', 'used'] as const

/** What became of a question, in words. */
const stateWords: Record<string, string> = { pending: 'waits for an answer', lapsed: 'no answer in time', outdated: 'no longer asked', used: 'moved' }

export default function Approvals() {
  const [at, set] = useAddress()
  const state = states.find((s) => s === at.state)
  const filter: q.ApprovalFilter = { ...(state ? { state } : {}), ...(at.client ? { client_id: at.client } : {}) }
  const list = useInfiniteQuery({ ...q.approvals(filter), refetchInterval: 15_000 })
  const rows = list.data?.pages.flatMap((p) => p.approvals) ?? []
  return (
    <>
      <Head title="Approvals" lead="Voluntary moves that a client wants to be asked about. A failover after a notice, and a switch that a person forces, never wait." />
      <div className="filters" role="search" aria-label="Filter approvals">
        <label className="field">State
          <select value={state ?? ''} onChange={(e) => set({ state: e.target.value || undefined })}>
            <option value="">all</option>{states.map((s) => <option key={s} value={s}>{stateWords[s] ?? s}</option>)}
          </select>
        </label>
        {at.client && <button onClick={() => set({ client: undefined })}>Only client {rows[0]?.client_name ?? at.client.slice(0, 8)} ✕</button>}
      </div>
      <Panel title="Newest first" flush>
        <Show of={list} what="approvals">{() => (
          <DataTable label="Approvals" rows={rows} rowKey={(a) => a.id} csvName="approvals" onEnd={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : undefined}
            empty={<Empty title={state ? 'No approval is like this.' : 'No move was asked about yet.'}><span>Each client says on its page which moves it is asked about. Without such a rule, moves are made without a question.</span></Empty>}
            columns={[
              { key: 'agent', title: 'Agent', value: (a) => a.agent_name || a.agent_id, cell: (a) => <div><AgentLink id={a.agent_id} name={a.agent_name} /><div className="muted"><ClientLink id={a.client_id} name={a.client_name} /></div></div> },
              { key: 'move', title: 'Move', value: (a) => moveKinds[a.kind] ?? a.kind, cell: (a) => <div>{moveKinds[a.kind] ?? a.kind}<div className="muted mono">{a.instance_id} → {a.target_pool_id ?? `${boughtAs(a.target_mode)} ${a.target_instance_type ?? ''}`}</div></div> },
              { key: 'why', title: 'Why', value: (a) => a.reason, cell: (a) => <div>{withIds(named(a.reason, a.agent_id, a.agent_name))}<div className="muted">{a.asked_by}</div></div> },
              { key: 'state', title: 'State', value: (a) => a.state, cell: (a) => <Chip state={chips[a.state] ?? a.state} label={stateWords[a.state] ?? a.state} /> },
              { key: 'asked', title: 'Asked', value: (a) => a.asked_at, cell: (a) => <When at={a.asked_at} /> },
              { key: 'until', title: 'Until', value: (a) => a.expires_at, cell: (a) => a.state === 'pending' ? <Countdown to={a.expires_at} label={`time left to answer for ${a.agent_name}`} /> : a.state === 'approved' ? <When at={a.expires_at} /> : <span className="muted">–</span> },
              { key: 'by', title: 'Answered by', value: (a) => a.answered_by, cell: (a) => a.answered_by ? <div>{a.answered_by}<div className="muted"><When at={a.answered_at} /></div></div> : <span className="muted">–</span> },
              { key: 'operation', title: 'Switch', value: (a) => a.operation_id, cell: (a) => a.operation_id ? <OperationLink id={a.operation_id} /> : <span className="muted">–</span> },
              { key: 'acts', title: 'Actions', bare: true, value: () => null, cell: (a) => a.state === 'pending' ? <AnswerMove a={a} /> : null },
            ]} />
        )}</Show>
      </Panel>
    </>
  )
}

const chips: Record<string, string> = { pending: 'warning', approved: 'ready', rejected: 'dropped', lapsed: 'cancelled', outdated: 'cancelled', used: 'done' }
