import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { DataTable } from './DataTable'
import { Ask } from './Dialog'
import { PauseFields, usePauseWish } from './PauseFields'
import { Empty, Panel, Show } from './parts'
import { When } from './time'
import { refresh } from '../api/refresh'

type Block = Schemas['blockItem']

/** BlockPool keeps launches out of a pool until a time: an operator for all clients or for one, a tenant for itself. */
export function BlockPool({ pool }: { pool: string }) {
  const who = useQuery(q.session)
  const clients = useQuery({ ...q.clients, enabled: who.data?.operator === true })
  const [wish, setWish] = usePauseWish()
  const [whose, setWhose] = useState('')
  const client = useQueryClient()
  const say = useSay()
  const operator = who.data?.operator === true
  const act = async () => {
    const scope = !operator ? {} : whose ? { client_id: whose } : { scope: 'global' as const }
    await ask(api.POST('/api/pools/{pool_id}/block', { params: { path: { pool_id: pool } }, body: { ...wish, ...scope } }))
    await refresh(client, { queryKey: ['pools'] })
    say(`Nothing is launched in ${pool} any more.`)
  }
  return (
    <Ask needs="blockPool" trigger={<button>Block …</button>} title={`Keep launches out of ${pool}?`} confirm="Block it" act={act} ready={wish.reason.trim() !== ''}>
      <p>New instances go to other pools, or on demand, also after an interruption. What runs in it stays there.</p>
      {operator && (
        <label className="field">For<select value={whose} onChange={(e) => setWhose(e.target.value)}>
          <option value="">all clients</option>
          {(clients.data ?? []).map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </select></label>
      )}
      <PauseFields wish={wish} onChange={setWish} />
    </Ask>
  )
}

export function PoolBlocks() {
  const blocks = useQuery(q.poolBlocks)
  const who = useQuery(q.session)
  const clients = useQuery({ ...q.clients, enabled: who.data?.operator === true })
  const client = useQueryClient()
  const say = useSay()
  const operator = who.data?.operator === true
  const name = (id: string | null) => (id == null ? 'all clients' : clients.data?.find((c) => c.id === id)?.name ?? (operator ? id : 'you'))
  const lift = async (b: Block) => {
    const scope = !operator ? {} : b.client_id ? { client_id: b.client_id } : { scope: 'global' as const }
    await ask(api.POST('/api/pools/{pool_id}/unblock', { params: { path: { pool_id: b.pool_id } }, body: scope }))
    await refresh(client, { queryKey: ['pools'] })
    say(`Instances are launched in ${b.pool_id} again.`)
  }
  return (
    <Panel title="Blocked pools" flush>
      <Show of={blocks} what="blocks">{(d) => (
        <DataTable label="Blocked pools" rows={d.blocks} rowKey={(b) => `${b.pool_id} ${b.client_id} ${b.by_operator}`} csvName="pool-blocks"
          empty={<Empty title="No pool is blocked."><span>Choose a pool to keep launches out of it for a while.</span></Empty>}
          columns={[
            { key: 'pool', title: 'Pool', value: (b) => b.pool_id, cell: (b) => <span className="mono">{b.pool_id}</span> },
            { key: 'for', title: 'For', value: (b) => name(b.client_id) },
            { key: 'until', title: 'Until', value: (b) => b.until, cell: (b) => <When at={b.until} /> },
            { key: 'why', title: 'Reason', value: (b) => b.reason },
            { key: 'by', title: 'By', value: (b) => b.created_by },
            { key: 'act', title: 'Lift', bare: true, value: () => null, cell: (b) => (b.by_operator && !operator ? <span className="muted">by operators</span> : (
              <Ask needs="unblockPool" trigger={<button aria-label={`Unblock ${b.pool_id}`}>Unblock</button>} title={`Launch in ${b.pool_id} again?`} confirm="Unblock" act={() => lift(b)}>
                <p>{b.created_by} blocked it for {name(b.client_id)}: {b.reason}</p>
              </Ask>
            )) },
          ]} />
      )}</Show>
    </Panel>
  )
}
