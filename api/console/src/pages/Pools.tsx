import { useQuery } from '@tanstack/react-query'
import { lazy, Suspense } from 'react'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { duration, money, percent, plural } from '../lib/format'
import { heatOf } from '../lib/heat'
import { DataTable } from '../ui/DataTable'
import { BlockPool, PoolBlocks } from '../ui/PoolBlocks'
import { Chip, Empty, Head, Loading, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'

const PriceChart = lazy(() => import('../ui/PriceChart'))

type Pool = Schemas['poolItem']

export default function Pools() {
  const [at, set] = useAddress()
  const all = useQuery(q.pools())
  return (
    <>
      <Head title="Pools" lead="What spot capacity costs, how often AWS takes it back, and where ours runs." />
      <Show of={all} what="pools">{(d) => <Known pools={d.pools} at={at} set={set} />}</Show>
    </>
  )
}

function Known({ pools, at, set }: { pools: Pool[]; at: Record<string, string | undefined>; set: (c: Record<string, string | undefined>) => void }) {
  const regions = [...new Set(pools.map((p) => p.region))].sort()
  const region = at.region && regions.includes(at.region) ? at.region : regions[0]
  const stops = useQuery(q.poolBlocks).data?.blocks ?? []
  const blocked = new Set(stops.map((b) => b.pool_id))
  const here = pools.filter((p) => p.region === region && (at.ours !== 'yes' || p.instances > 0))
  if (pools.length === 0) return <Panel title="Pools"><Empty title="No pool is known yet."><span>Pools are learnt from the agents' price reports and from EC2, every five minutes.</span></Empty></Panel>
  return (
    <>
      <div className="filters">
        <label className="field">Region<select value={region} onChange={(e) => set({ region: e.target.value, pool: undefined })}>{regions.map((r) => <option key={r}>{r}</option>)}</select></label>
        <label className="check"><input type="checkbox" checked={at.ours === 'yes'} onChange={(e) => set({ ours: e.target.checked ? 'yes' : undefined })} />Only where ours runs</label>
      </div>
      <Heat pools={here} blocked={blocked} chosen={at.pool} choose={(pool) => set({ pool })} />
      {at.pool && <Panel title={`Prices around ${at.pool}`} aside={<span className="row"><BlockPool pool={at.pool} /><button className="plain" onClick={() => set({ pool: undefined })}>Close</button></span>}><Suspense fallback={<Loading what="prices" />}><PriceChart pool={at.pool} /></Suspense></Panel>}
      <PoolBlocks />
      <Foreseen pools={here} />
      <Panel title="The same as a table" flush>
        <DataTable label="Pools" rows={here} rowKey={(p) => p.id} csvName="pools" empty={<Empty title="None." />}
          columns={[
            { key: 'pool', title: 'Pool', value: (p) => p.id, cell: (p) => <button className="plain mono" onClick={() => set({ pool: p.id })}>{p.id}</button> },
            { key: 'price', title: '$/h', numeric: true, value: (p) => p.price, cell: (p) => money(p.price) },
            { key: 'ratio', title: 'Of on demand', numeric: true, value: (p) => p.price_ratio, cell: (p) => percent(p.price_ratio) },
            { key: 'terms', title: 'Notices, 24 h', numeric: true, value: (p) => p.terminations_last_day },
            { key: 'rebs', title: 'Rebalances, 24 h', numeric: true, value: (p) => p.rebalances_last_day },
            { key: 'rate', title: 'Interruptions per instance-day', numeric: true, value: (p) => p.interruptions_per_instance_day, cell: (p) => p.interruptions_per_instance_day == null ? <span className="muted" title="too little ran in it last week">too few to say</span> : p.interruptions_per_instance_day.toFixed(2) },
            { key: 'refused', title: 'Launches refused, 1 h', numeric: true, value: (p) => p.launches_refused_last_hour, cell: (p) => <span>{p.launches_refused_last_hour}{p.last_refusal && <span className="muted mono"> {p.last_refusal}</span>}</span> },
            { key: 'retry', title: 'Avoided until', value: (p) => p.retry_after, cell: (p) => blocked.has(p.id) ? <Chip state="paused" label="blocked" /> : <When at={p.retry_after} /> },
            { key: 'score', title: 'Placement score', numeric: true, value: (p) => p.placement_score, cell: (p) => p.placement_score == null ? <span className="muted" title="EC2 was not asked about this type, or the role may not ask">not read</span> : <span title="EC2's own forecast, 1 to 10">{p.placement_score} of 10</span> },
            { key: 'ours', title: 'Instances', numeric: true, value: (p) => p.instances },
            { key: 'seen', title: 'Price seen', value: (p) => p.price_at, cell: (p) => <When at={p.price_at} /> },
          ]} />
      </Panel>
    </>
  )
}

/** Foreseen says how much a rebalance recommendation was worth: how often a notice followed it, and how much later. */
function Foreseen({ pools }: { pools: Pool[] }) {
  const rows = pools.filter((p) => p.recommendations_last_month > 0 || p.terminations_last_month > 0)
  const sum = (of: (p: Pool) => number) => rows.reduce((n, p) => n + of(p), 0)
  const recommended = sum((p) => p.recommendations_last_month), came = sum((p) => p.recommendations_came_true), taken = sum((p) => p.terminations_last_month)
  const share = (p: Pool) => p.recommendations_last_month ? p.recommendations_came_true / p.recommendations_last_month : null
  return (
    <Panel title="Recommendations that came true" flush aside={rows.length > 0 && <span className="muted">30 days: {came} of {plural(recommended, 'recommendation')} came true, {Math.max(0, taken - came)} of {plural(taken, 'notice')} came without one</span>}>
      <DataTable label="Recommendations that came true" rows={rows} rowKey={(p) => p.id} csvName="recommendations"
        empty={<Empty title="AWS has recommended nothing and taken nothing here in 30 days."><span>A rebalance recommendation says that a notice is likelier. Here is how often one followed.</span></Empty>}
        columns={[
          { key: 'pool', title: 'Pool', value: (p) => p.id, cell: (p) => <span className="mono">{p.id}</span> },
          { key: 'told', title: 'Recommendations', numeric: true, value: (p) => p.recommendations_last_month },
          { key: 'came', title: 'Came true', numeric: true, value: (p) => p.recommendations_came_true },
          { key: 'share', title: 'Share', numeric: true, value: share, cell: (p) => percent(share(p)) },
          { key: 'lead', title: 'Notice came after, median', csvTitle: 'Notice came after, median, s', numeric: true, value: (p) => p.recommendation_lead_seconds, cell: (p) => p.recommendation_lead_seconds == null ? '–' : duration(p.recommendation_lead_seconds * 1000) },
          { key: 'taken', title: 'Notices', numeric: true, value: (p) => p.terminations_last_month },
          { key: 'bare', title: 'Without a recommendation', numeric: true, value: (p) => Math.max(0, p.terminations_last_month - p.recommendations_came_true) },
        ]} />
    </Panel>
  )
}

/** Heat is types by zones. Its colour says how good a pool is, and so do its words. */
function Heat({ pools, blocked, chosen, choose }: { pools: Pool[]; blocked: Set<string>; chosen?: string; choose: (id: string) => void }) {
  const types = [...new Set(pools.map((p) => p.instance_type))].sort()
  const zones = [...new Set(pools.map((p) => p.az))].sort()
  const by = new Map(pools.map((p) => [p.instance_type + p.az, p]))
  return (
    <Panel title="Types by zones" aside={<span className="row"><Chip state="x" tone="good" label="cheap" /><Chip state="x" tone="info" label="fair" /><Chip state="x" tone="warn" label="dear" /><Chip state="x" tone="bad" label="interrupted or full" /></span>} flush>
      <div className="scroller" tabIndex={0} role="group" aria-label="Heat map of pools">
        <table className="heat">
          <caption className="hidden">Pools: types by zones</caption>
          <thead><tr><th scope="col"><span className="hidden">Type</span></th>{zones.map((z) => <th key={z} scope="col">{z}</th>)}</tr></thead>
          <tbody>{types.map((t) => (
            <tr key={t}>
              <th scope="row">{t}</th>
              {zones.map((z) => {
                const p = by.get(t + z)
                if (!p) return <td key={z} className="muted" style={{ padding: 8 }}>–</td>
                const heat = heatOf(p, blocked.has(p.id))
                return (
                  <td key={z}>
                    <button className={heat.tone} aria-pressed={chosen === p.id} onClick={() => choose(p.id)} aria-label={`${p.id}: ${heat.word}, ${percent(p.price_ratio)} of on demand, ${plural(p.terminations_last_day, 'notice')}, ${plural(p.instances, 'instance')} of ours`}>
                      <strong>{percent(p.price_ratio)}</strong>
                      <span>{heat.word}</span>
                      <span className="muted">{p.instances > 0 ? plural(p.instances, 'instance') : money(p.price)}</span>
                    </button>
                  </td>
                )
              })}
            </tr>
          ))}</tbody>
        </table>
      </div>
    </Panel>
  )
}
