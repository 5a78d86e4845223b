import { useQuery } from '@tanstack/react-query'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useAddress } from '../lib/address'
import { count, duration, money, percent, plural, words } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'

type Summary = Schemas['decisionsSummary']

const spans = [1, 6, 24, 72, 168]
const sayings: Record<string, string> = {
  stayed: 'told an agent to stay where it is', moved: 'moved an agent', held: 'were held back by a limit, a pause or a price',
  lapsed: 'were not ordered while they were fresh', failed: 'could not be ordered',
}

export default function Decisions() {
  const [at, set] = useAddress()
  const hours = spans.includes(Number(at.hours)) ? Number(at.hours) : 24
  const found = useQuery(q.decisions({ hours, ...(at.client ? { client_id: at.client } : {}) }))
  return (
    <>
      <Head title="Decisions" lead="What the engines said about each agent, run by run, and what held moves back.">
        <label className="field">Span<select value={hours} onChange={(e) => set({ hours: e.target.value })}>{spans.map((h) => <option key={h} value={h}>{h < 72 ? plural(h, 'hour') : plural(h / 24, 'day')}</option>)}</select></label>
        {at.client && <button className="plain" onClick={() => set({ client: undefined })}>All clients</button>}
      </Head>
      <Show of={found} what="decisions">{(d) => <Known d={d} />}</Show>
    </>
  )
}

function Known({ d }: { d: Summary }) {
  const all = d.results.reduce((n, r) => n + r.decisions, 0)
  if (all === 0 && d.runs.length === 0) {
    return <Panel title="Results"><Empty title="Nothing was decided in this span."><span>The job “fleet-decisions” judges every agent in auto mode each five minutes; an operator can run it on the page of jobs.</span></Empty></Panel>
  }
  return (
    <>
      <div className="figures">
        {d.results.map((r) => <Figure key={r.result} n={count(r.decisions)} k={`${sayings[r.result] ?? r.result}; ${plural(r.agents, 'agent')}`} tone={r.result === 'failed' ? 'bad' : undefined} />)}
      </div>
      <Vetoes list={d.vetoes} all={all} />
      <Engines list={d.engines} />
      {d.runs.length > 0 && <Runs list={d.runs} />}
    </>
  )
}

function Vetoes({ list, all }: { list: Schemas['vetoCount'][]; all: number }) {
  const most = Math.max(1, ...list.map((v) => v.decisions))
  return (
    <>
      <Panel title="What held moves back">
        {list.length === 0 ? <Empty title="Nothing spoke against any move." /> : (
          <div className="bars">
            {list.slice(0, 12).map((v) => (
              <div className="bar" key={v.code + v.scope}>
                <span><span className="mono">{v.code}</span> <span className="muted">{v.scope === 'agent' ? 'against any move' : 'against a place'}</span></span>
                <span className="track" aria-hidden="true"><span className={`fill ${v.scope === 'agent' ? 'warn' : ''}`} style={{ width: `${(v.decisions / most) * 100}%` }} /></span>
                <span className="num">{count(v.decisions)}</span>
              </div>
            ))}
          </div>
        )}
      </Panel>
      {list.length > 0 && (
        <Panel title="The same as a table" flush>
          <DataTable label="Vetoes" rows={list} rowKey={(v) => v.code + v.scope} csvName="vetoes" empty={null}
            columns={[
              { key: 'code', title: 'Code', value: (v) => v.code, cell: (v) => <span className="mono">{v.code}</span> },
              { key: 'scope', title: 'Against', value: (v) => (v.scope === 'agent' ? 'any move' : 'a place') },
              { key: 'n', title: 'Decisions', numeric: true, value: (v) => v.decisions },
              { key: 'share', title: 'Share', numeric: true, value: (v) => (all > 0 ? v.decisions / all : null), cell: (v) => percent(all > 0 ? v.decisions / all : null) },
              { key: 'agents', title: 'Agents', numeric: true, value: (v) => v.agents },
            ]} />
        </Panel>
      )}
    </>
  )
}

function Engines({ list }: { list: Schemas['engineCount'][] }) {
  return (
    <Panel title="Live against shadow" flush>
      <DataTable label="Engines" rows={list} rowKey={(e) => `${e.engine} ${e.version} ${e.shadow}`} csvName="engines" empty={<Empty title="No engine decided." />}
        columns={[
          { key: 'engine', title: 'Engine', value: (e) => `${e.engine} ${e.version}` },
          { key: 'part', title: 'Part', value: (e) => (e.shadow ? 'shadow' : 'live'), cell: (e) => <Chip state={e.shadow ? 'pending' : 'live'} label={e.shadow ? 'shadow' : 'live'} /> },
          { key: 'n', title: 'Decisions', numeric: true, value: (e) => e.decisions },
          { key: 'moves', title: 'To move', numeric: true, value: (e) => e.moves },
          { key: 'livemoves', title: 'Live moved meanwhile', numeric: true, value: (e) => (e.shadow ? e.live_moves : null) },
          { key: 'agree', title: 'Agreement', numeric: true, value: (e) => e.agreement, cell: (e) => percent(e.agreement) },
          { key: 'regret', title: 'Regret, $/h', numeric: true, value: (e) => e.regret_per_hour, cell: (e) => <span title="what the live decision saved more on average">{money(e.regret_per_hour)}</span> },
          { key: 'agents', title: 'Agents', numeric: true, value: (e) => e.agents },
        ]} />
    </Panel>
  )
}

function Runs({ list }: { list: Schemas['decisionRun'][] }) {
  const held = (r: Schemas['decisionRun']) => Object.entries(r.held_by).sort((a, b) => b[1] - a[1]).map(([code, n]) => `${code} ${n}`).join(', ')
  return (
    <Panel title="Runs" flush>
      <DataTable label="Runs" rows={list} rowKey={(r) => r.period} csvName="decision-runs" empty={null}
        columns={[
          { key: 'at', title: 'Run', value: (r) => r.period, cell: (r) => <When at={r.period} /> },
          { key: 'state', title: 'State', value: (r) => words(r.state), cell: (r) => <Chip state={r.state} /> },
          { key: 'all', title: 'Agents', numeric: true, value: (r) => r.evaluated },
          { key: 'stayed', title: 'Stay', numeric: true, value: (r) => r.stayed },
          { key: 'moved', title: 'Move', numeric: true, value: (r) => r.moved },
          { key: 'held', title: 'Held back', numeric: true, value: (r) => r.held },
          { key: 'lapsed', title: 'Lapsed', numeric: true, value: (r) => r.lapsed },
          { key: 'failed', title: 'Failed', numeric: true, value: (r) => r.failed },
          { key: 'shadow', title: 'Shadow', numeric: true, value: (r) => r.shadow },
          { key: 'took', title: 'Took, ms', numeric: true, value: (r) => r.took_ms, cell: (r) => duration(r.took_ms) },
          { key: 'why', title: 'Held back by', value: held, cell: (r) => <span className="mono">{held(r)}</span> },
        ]} />
    </Panel>
  )
}
