import { useQuery } from '@tanstack/react-query'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { barsOf } from '../lib/distribution'
import { count, duration, percent, plural } from '../lib/format'
import { doorWords, pathWords } from '../lib/glossary'
import { DataTable } from '../ui/DataTable'
import { AgentLink, ClientLink, OperationLink } from '../ui/links'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'

type Answer = Schemas['failoversAnswer']

const spans = [1, 7, 30, 90, 365]

export default function Failovers() {
  const [at, set] = useAddress()
  const days = spans.includes(Number(at.days)) ? Number(at.days) : 30
  const found = useQuery(q.failovers({ days, ...(at.client ? { client_id: at.client } : {}) }))
  return (
    <>
      <Head title="Failovers" lead="From the first word of a termination notice until another instance led, against the two minutes that AWS gives.">
        <label className="field">Span<select value={days} onChange={(e) => set({ days: e.target.value })}>{spans.map((d) => <option key={d} value={d}>{plural(d, 'day')}</option>)}</select></label>
        {at.client && <button className="plain" onClick={() => set({ client: undefined })}>All clients</button>}
      </Head>
      <Show of={found} what="failovers">{(d) => <Known d={d} set={set} />}</Show>
    </>
  )
}

function Known({ d, set }: { d: Answer; set: (c: Record<string, string | undefined>) => void }) {
  const o = d.overall
  if (o.count === 0) return <Panel title="How long they took"><Empty title="AWS has taken no instance in this span."><span>A failover is here as soon as another instance leads. The demo fleet is interrupted every few minutes.</span></Empty></Panel>
  return (
    <>
      <div className="figures">
        <Figure n={count(o.count)} k="notices were decided" />
        <Figure n={percent(o.in_time / o.count)} k={`${count(o.in_time)} in time, before the deadline`} tone={o.in_time < o.count ? 'warn' : undefined} />
        <Figure n={duration(o.p50_ms)} k="half took at most" />
        <Figure n={duration(o.p99_ms)} k={`99 of 100 took at most; the slowest ${duration(o.max_ms)}`} />
        <Figure n={duration(o.least_left_ms)} k="were left at the closest" />
        {o.lost > 0 && <Figure n={count(o.lost)} k="were lost" tone="bad" />}
      </div>
      <Panel title="How long they took"><Distribution of={o} noticeMs={d.notice_ms} /></Panel>
      <Panel title="By client" flush>
        <DataTable label="Failovers by client" rows={d.clients} rowKey={(c) => c.client_id} csvName="failovers-by-client" empty={null}
          columns={[
            { key: 'client', title: 'Client', value: (c) => c.client_name, cell: (c) => <ClientLink id={c.client_id} name={c.client_name} /> },
            { key: 'count', title: 'Notices', numeric: true, value: (c) => c.count },
            { key: 'time', title: 'In time', numeric: true, value: (c) => c.in_time },
            { key: 'lost', title: 'Lost', numeric: true, value: (c) => c.lost, cell: (c) => c.lost > 0 ? <strong className="bad-text">{c.lost}</strong> : 0 },
            ...(['p50', 'p90', 'p99', 'max'] as const).map((p) => ({ key: p, title: p, csvTitle: `${p}, ms`, numeric: true, value: (c: Schemas['clientFailover']) => c[`${p}_ms`] ?? null, cell: (c: Schemas['clientFailover']) => duration(c[`${p}_ms`]) })),
            { key: 'left', title: 'Least left', csvTitle: 'Least left, ms', numeric: true, value: (c) => c.least_left_ms, cell: (c) => duration(c.least_left_ms) },
            { key: 'only', title: 'Only this client', bare: true, value: () => null, cell: (c) => <button className="plain" onClick={() => set({ client: c.client_id })} aria-label={`Only ${c.client_name}`}>Only</button> },
          ]} />
      </Panel>
      <Panel title="Each of them, newest first" flush>
        <DataTable label="Failovers" rows={d.failovers} rowKey={(f) => f.operation_id} csvName="failovers" empty={null}
          columns={[
            { key: 'at', title: 'Notice', value: (f) => f.arrived_at, cell: (f) => <OperationLink id={f.operation_id}><When at={f.arrived_at} /></OperationLink> },
            { key: 'agent', title: 'Agent', value: (f) => f.agent_name, cell: (f) => <AgentLink id={f.agent_id} name={f.agent_name} /> },
            { key: 'client', title: 'Client', value: (f) => f.client_name },
            { key: 'outcome', title: 'Outcome', value: (f) => f.outcome, cell: (f) => <Chip state={f.outcome} /> },
            { key: 'took', title: 'Took', csvTitle: 'Took, ms', numeric: true, value: (f) => f.took_ms, cell: (f) => duration(f.took_ms) },
            { key: 'left', title: 'Left', csvTitle: 'Left, ms', numeric: true, value: (f) => f.left_ms, cell: (f) => duration(f.left_ms) },
            { key: 'path', title: 'Successor', value: (f) => f.path, cell: (f) => pathWords[f.path] ?? f.path },
            { key: 'ready', title: 'Ready after', csvTitle: 'Ready after, ms', numeric: true, value: (f) => f.ready_ms, cell: (f) => duration(f.ready_ms) },
            { key: 'door', title: 'First heard from', value: (f) => f.door, cell: (f) => doorWords[f.door] ?? f.door },
            { key: 'pool', title: 'Pool', value: (f) => f.pool_id, cell: (f) => <span className="mono">{f.pool_id}</span> },
          ]} />
      </Panel>
      <Panel title="The distribution as a table" flush>
        <DataTable label="Distribution" rows={barsOf(o.buckets, d.notice_ms).map((b, i) => ({ ...b, i }))} rowKey={(b) => String(b.i)} csvName="failover-times" empty={null} sortable={false}
          columns={[
            { key: 'name', title: 'Took', value: (b) => b.name },
            { key: 'count', title: 'Failovers', numeric: true, value: (b) => b.count },
          ]} />
      </Panel>
    </>
  )
}

/** Distribution is how many failovers took how long. What is past the two minutes is another colour, and says so. */
function Distribution({ of, noticeMs }: { of: Schemas['failoverTimes']; noticeMs: number }) {
  const bars = barsOf(of.buckets, noticeMs)
  return (
    <div className="bars" role="img" data-testid="distribution" aria-label={bars.filter((b) => b.count > 0).map((b) => `${b.name}: ${b.count}`).join('; ')}>
      {bars.map((b) => (
        <div className="bar" key={b.name}>
          <span>{b.name}{b.late ? ' (too late)' : ''}</span>
          <span className="track" aria-hidden="true"><span className={`fill ${b.late ? 'bad' : ''}`} style={{ width: `${b.share * 100}%` }} /></span>
          <span className="num">{b.count}</span>
        </div>
      ))}
    </div>
  )
}
