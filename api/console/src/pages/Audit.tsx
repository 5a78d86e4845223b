import { useInfiniteQuery } from '@tanstack/react-query'
import { useCallback } from 'react'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { words } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { AgentLink, ClientLink, named, withIds } from '../ui/links'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { SearchField } from '../ui/SearchField'
import { When } from '../ui/time'

const day = /^\d{4}-\d{2}-\d{2}$/

export default function Audit() {
  const [at, set] = useAddress()
  const search = useCallback((q: string) => set({ q: q || undefined }), [set])
  const by = at.by === 'all' ? 'all' : 'people'
  const filter: q.EventFilter = {
    by, ...(at.q ? { q: at.q } : {}), ...(at.type ? { type: at.type } : {}),
    ...(day.test(at.since ?? '') ? { since: at.since! } : {}), ...(day.test(at.until ?? '') ? { until: at.until! } : {}),
  }
  const list = useInfiniteQuery(q.events(filter, 100))
  const rows = list.data?.pages.flatMap((p) => p.events) ?? []
  return (
    <>
      <Head title="Audit" lead="Who asked for what, and the state before and after." />
      <div className="filters" role="search" aria-label="Filter entries">
        <SearchField label="Text or name" value={at.q ?? ''} onChange={search} />
        <label className="field">By<select value={by} onChange={(e) => set({ by: e.target.value === 'all' ? 'all' : undefined })}><option value="people">operators and tenants</option><option value="all">everything that happened</option></select></label>
        <label className="field">From, UTC<input type="date" value={filter.since ?? ''} onChange={(e) => set({ since: e.target.value || undefined })} /></label>
        <label className="field">Before, UTC<input type="date" value={filter.until ?? ''} onChange={(e) => set({ until: e.target.value || undefined })} /></label>
        {at.type && <button onClick={() => set({ type: undefined })}>Only {words(at.type)} ✕</button>}
      </div>
      <Panel title="Entries" flush aside={<a className="button" href={'/api/events.csv?' + new URLSearchParams({ ...filter }).toString()} download title="Everything that the filter chooses, the newest 100,000 entries at most">Export CSV</a>}>
        <Show of={list} what="entries">{() => (
          <DataTable label="Entries" rows={rows} rowKey={(e) => String(e.id)} onEnd={list.hasNextPage && !list.isFetchingNextPage ? () => void list.fetchNextPage() : undefined}
            empty={<Empty title="No entry is like this."><span>Each change that an operator or a tenant asks for is written here.</span></Empty>}
            columns={[
              { key: 'at', title: 'When', value: (e) => e.at, cell: (e) => <When at={e.at} /> },
              { key: 'who', title: 'Who', value: (e) => e.actor },
              { key: 'what', title: 'What', value: (e) => e.type, cell: (e) => <button className="plain" onClick={() => set({ type: e.type })}>{words(e.type)}</button> },
              { key: 'said', title: 'In words', value: (e) => e.message, cell: (e) => <span>{e.severity !== 'info' && <Chip state={e.severity} />} {withIds(named(e.message, e.agent_id, e.agent_name))}</span> },
              { key: 'agent', title: 'Agent', value: (e) => e.agent_name, cell: (e) => e.agent_id ? <AgentLink id={e.agent_id} name={e.agent_name} /> : '–' },
              { key: 'client', title: 'Client', value: (e) => e.client_name, cell: (e) => e.client_id ? <ClientLink id={e.client_id} name={e.client_name} /> : '–' },
              { key: 'diff', title: 'Before and after', value: (e) => JSON.stringify(e.metadata), cell: (e) => <Diff e={e} /> },
            ]} />
        )}</Show>
        {list.hasNextPage && <div style={{ padding: 10 }}><button disabled={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>Show more</button></div>}
      </Panel>
    </>
  )
}

function Diff({ e }: { e: Schemas['loggedEvent'] }) {
  const meta = (e.metadata ?? {}) as Record<string, unknown>
  if (Object.keys(meta).length === 0) return <span className="muted">–</span>
  return <details><summary>show</summary><pre>{JSON.stringify(meta, null, 1)}</pre></details>
}
