import { useQuery } from '@tanstack/react-query'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { money, percent } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { ClientLink } from '../ui/links'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'

type Month = Schemas['clientMonth']

export default function Savings() {
  const [at, set] = useAddress()
  const months = Number(at.months) || 12
  const savings = useQuery(q.savings(months))
  const byTag = useQuery(q.savingsByTag(at.tag, months))
  const overview = useQuery(q.overview)
  const rate = overview.data ? overview.data.cost.on_demand_hourly - overview.data.cost.hourly : null
  return (
    <>
      <Head title="Savings" lead="Against the same hours on demand, with what standbys and double running cost.">
        <Tags tags={byTag.data?.tags ?? []} chosen={at.tag} onChange={(tag) => set({ tag })} />
        <label className="field">Span<select value={months} onChange={(e) => set({ months: e.target.value })}>{[1, 3, 6, 12, 24].map((m) => <option key={m} value={m}>{m === 1 ? 'this month' : `${m} months`}</option>)}</select></label>
      </Head>
      <Show of={savings} what="savings">{(d) => <Known months={d.months} rate={rate} />}</Show>
      {at.tag && <Show of={byTag} what="tags">{(d) => <ByTag tag={at.tag!} months={d.months} />}</Show>}
    </>
  )
}

/** Tags are those that instances of agents have: a choice of one shows months by its values. */
function Tags({ tags, chosen, onChange }: { tags: Schemas['tagKey'][]; chosen: string | undefined; onChange: (tag: string | undefined) => void }) {
  if (tags.length === 0 && !chosen) return null
  const known = chosen && !tags.some((t) => t.tag === chosen) ? [{ tag: chosen, agents: 0 }, ...tags] : tags
  return (
    <label className="field">By tag
      <select value={chosen ?? ''} onChange={(e) => onChange(e.target.value || undefined)}>
        <option value="">none</option>{known.map((t) => <option key={t.tag} value={t.tag}>{t.tag}</option>)}
      </select>
    </label>
  )
}

function ByTag({ tag, months }: { tag: string; months: Schemas['tagMonth'][] }) {
  return (
    <Panel title="By tag and month" flush aside={<span className="muted">the value that each agent’s instance has now</span>}>
      <DataTable label="Savings by tag" rows={months} rowKey={(m) => m.month + m.currency + (m.value === null ? '' : '=' + m.value)} csvName="savings-by-tag"
        empty={<Empty title="No month has lines yet."><span>The job “monthly-savings” writes them.</span></Empty>}
        columns={[
          { key: 'month', title: 'Month', value: (m) => m.month, cell: (m) => <span className="row">{m.month}{m.provisional && <Chip state="running" label="so far" />}</span> },
          { key: 'value', title: tag, value: (m) => m.value, cell: (m) => m.value === null ? <span className="muted">without it</span> : <bdi>{m.value || '(empty)'}</bdi> },
          { key: 'agents', title: 'Agents', numeric: true, value: (m) => m.agents },
          { key: 'base', title: 'On demand', numeric: true, value: (m) => m.on_demand_cost, cell: (m) => money(m.on_demand_cost, m.currency) },
          { key: 'actual', title: 'Paid', numeric: true, value: (m) => m.actual_cost, cell: (m) => money(m.actual_cost, m.currency) },
          { key: 'standby', title: 'Of it standbys', numeric: true, value: (m) => m.standby_cost, cell: (m) => money(m.standby_cost, m.currency) },
          { key: 'saved', title: 'Saved', numeric: true, value: (m) => m.savings, cell: (m) => <strong className={m.savings < 0 ? 'bad-text' : ''}>{money(m.savings, m.currency)}</strong> },
        ]} />
    </Panel>
  )
}

function Known({ months, rate }: { months: Month[]; rate: number | null }) {
  const sum = (of: (m: Month) => number) => months.reduce((n, m) => n + of(m), 0)
  const saved = sum((m) => m.savings), base = sum((m) => m.on_demand_cost), standby = sum((m) => m.standby_cost)
  const byMonth = [...new Set(months.map((m) => m.month))].sort().map((month) => {
    const all = months.filter((m) => m.month === month)
    return { month, saved: all.reduce((n, m) => n + m.savings, 0), standby: all.reduce((n, m) => n + m.standby_cost, 0), provisional: all.some((m) => m.provisional) }
  })
  const most = Math.max(1e-9, ...byMonth.map((m) => Math.abs(m.saved) + m.standby))
  return (
    <>
      <div className="figures">
        <Figure n={money(saved)} k={`saved${base > 0 ? `, ${percent(saved / base)} of ${money(base)} on demand` : ''}`} />
        <Figure n={money(standby)} k="of what was paid went to standbys and double running" />
        {rate != null && <Figure n={`${money(rate)}/h`} k="is saved at this moment" />}
      </div>
      {months.length === 0 ? <Panel title="By month"><Empty title="No month is computed yet."><span>The job “monthly-savings” computes this month anew; an operator can run it on the page of jobs. What is saved per hour is known at once.</span></Empty></Panel> : (
        <>
          <Panel title="By month">
            <div className="bars" role="img" aria-label={byMonth.map((m) => `${m.month}: ${money(m.saved)} saved, ${money(m.standby)} for standbys`).join('; ')}>
              {byMonth.map((m) => (
                <div className="bar" key={m.month}>
                  <span>{m.month}{m.provisional ? ' so far' : ''}</span>
                  <span className="track" style={{ display: 'flex', height: 16 }}>
                    <span className="fill" style={{ width: `${(Math.max(0, m.saved) / most) * 100}%` }} /><span className="fill warn" style={{ width: `${(m.standby / most) * 100}%` }} />
                  </span>
                  <span>{money(m.saved)} saved · {money(m.standby)} standbys</span>
                </div>
              ))}
            </div>
          </Panel>
          <Panel title="By client and month" flush>
            <DataTable label="Savings" rows={months} rowKey={(m) => m.client_id + m.month} csvName="savings" empty={null}
              columns={[
                { key: 'month', title: 'Month', value: (m) => m.month, cell: (m) => <span className="row">{m.month}{m.provisional && <Chip state="running" label="so far" />}</span> },
                { key: 'client', title: 'Client', value: (m) => m.client_name, cell: (m) => <ClientLink id={m.client_id} name={m.client_name} /> },
                { key: 'base', title: 'On demand', numeric: true, value: (m) => m.on_demand_cost, cell: (m) => money(m.on_demand_cost) },
                { key: 'actual', title: 'Paid', numeric: true, value: (m) => m.actual_cost, cell: (m) => money(m.actual_cost) },
                { key: 'standby', title: 'Of it standbys', numeric: true, value: (m) => m.standby_cost, cell: (m) => money(m.standby_cost) },
                { key: 'saved', title: 'Saved', numeric: true, value: (m) => m.savings, cell: (m) => <strong className={m.savings < 0 ? 'bad-text' : ''}>{money(m.savings)}</strong> },
                { key: 'hours', title: 'Primary hours', numeric: true, value: (m) => m.primary_hours, cell: (m) => m.primary_hours.toFixed(1) },
                { key: 'unpriced', title: 'Hours without a price', numeric: true, value: (m) => m.unpriced_hours, cell: (m) => m.unpriced_hours.toFixed(1) },
                { key: 'at', title: 'Computed', value: (m) => m.computed_at, cell: (m) => <When at={m.computed_at} /> },
              ]} />
          </Panel>
        </>
      )}
    </>
  )
}
