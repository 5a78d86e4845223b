import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import * as q from '../api/queries'
import type { Schemas } from '../api/client'
import { clock, money } from '../lib/format'
import { align, type Aligned } from '../lib/series'
import { DataTable } from './DataTable'
import { Empty, Show } from './parts'

const strokes = ['#0b7f8a', '#b3541e', '#6a4fbf', '#2e7d32', '#ad1457', '#546e7a', '#8a6d00', '#1565c0']

/** PriceChart draws a pool with its rivals; interpolated stretches are dashed, and what happened is marked. */
export default function PriceChart({ pool, agent }: { pool: string; agent?: string }) {
  const [hours, setHours] = useState(24)
  const prices = useQuery(q.poolPrices(pool, hours))
  return (
    <div className="stack">
      <div className="row" role="group" aria-label="Span of time">
        {[[1, 'an hour'], [6, '6 hours'], [24, 'a day'], [168, 'a week']].map(([h, name]) => <button key={h} aria-pressed={hours === h} onClick={() => setHours(h as number)}>{name}</button>)}
      </div>
      <Show of={prices} what="prices">{(d) => d.series.length === 0
        ? <Empty title="No price of this span is known yet."><span>Prices are collected every five minutes.</span></Empty>
        : <Drawn d={d} agent={agent} />}</Show>
    </div>
  )
}

function Drawn({ d, agent }: { d: Schemas['poolPricesAnswer']; agent?: string }) {
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const aligned = align(d)
  const shape = aligned.names.join() + (agent ?? '')
  const latest = useRef<{ a: Aligned; marks: Schemas['poolMark'][] }>({ a: aligned, marks: d.marks })
  latest.current = { a: aligned, marks: d.marks.filter((m) => !agent || m.agent_id === agent || m.kind !== 'arrival') }
  useEffect(() => {
    const host = box.current!
    const style = getComputedStyle(host)
    const ink = style.getPropertyValue('--muted'), line = style.getPropertyValue('--line')
    const { a } = latest.current
    const own = d.pool_id
    const series: uPlot.Series[] = [{ label: 'Time' }]
    a.names.forEach((name, i) => {
      const color = strokes[i % strokes.length]!
      const width = name === own ? 2.5 : 1.2
      series.push({ label: name, stroke: color, width, value: (_, v) => money(v) })
      series.push({ label: name + ', interpolated', stroke: color, width, dash: [5, 5], value: (_, v) => money(v), ...(a.data[2 * i + 2]!.some((v) => v != null) ? {} : { class: 'hidden-series' }) })
    })
    const u = new uPlot({
      width: host.clientWidth, height: 280, series,
      axes: [{ stroke: ink, grid: { stroke: line }, ticks: { stroke: line } }, { stroke: ink, grid: { stroke: line }, ticks: { stroke: line }, size: 70, values: (_, vs) => vs.map((v) => money(v)) }],
      cursor: { drag: { x: true, y: false } },
      legend: { live: true },
      hooks: { draw: [(p) => mark(p, latest.current.marks)] },
    }, a.data as uPlot.AlignedData, host)
    plot.current = u
    const sized = new ResizeObserver(() => u.setSize({ width: host.clientWidth, height: 280 }))
    sized.observe(host)
    return () => {
      sized.disconnect()
      u.destroy()
      plot.current = null
    }
  }, [shape, d.pool_id])
  useEffect(() => plot.current?.setData(aligned.data as uPlot.AlignedData))
  const rows = d.series.flatMap((s) => s.points.slice(-12).map((p) => ({ ...p, pool: s.pool_id })))
  return (
    <div className="stack">
      <div ref={box} className="chart" role="img" aria-label={`Prices of ${d.series.map((s) => s.pool_id).join(', ')}; on demand ${money(d.on_demand_price)} per hour. The table has the figures.`} />
      <div className="muted">Times in {Intl.DateTimeFormat().resolvedOptions().timeZone}. Red marks: termination notices. Amber: rebalance recommendations. Blue: an agent moved in. Dashed: interpolated. On demand: {money(d.on_demand_price)}/h.</div>
      <details>
        <summary>The figures as a table</summary>
        <DataTable label="Prices" rows={rows} rowKey={(r) => r.pool + r.at} csvName={'prices-' + d.pool_id} empty={null}
          columns={[
            { key: 'pool', title: 'Pool', value: (r) => r.pool }, { key: 'at', title: 'At (UTC)', value: (r) => r.at, cell: (r) => <span title={r.at}>{clock(Date.parse(r.at)).slice(0, 8)}</span> },
            { key: 'price', title: '$/h', numeric: true, value: (r) => r.price, cell: (r) => money(r.price) }, { key: 'how', title: 'Known by', value: (r) => r.interpolated ? 'interpolation' : 'measurement' },
          ]} />
        <DataTable label="Marks" rows={d.marks} rowKey={(m) => m.at + m.instance_id + m.kind} csvName={'marks-' + d.pool_id} empty={<Empty title="Nothing happened in these pools." />}
          columns={[
            { key: 'at', title: 'At (UTC)', value: (m) => m.at }, { key: 'kind', title: 'What', value: (m) => m.kind }, { key: 'pool', title: 'Pool', value: (m) => m.pool_id },
            { key: 'agent', title: 'Agent', value: (m) => m.agent_name }, { key: 'instance', title: 'Instance', value: (m) => m.instance_id },
          ]} />
      </details>
    </div>
  )
}

const markColors: Record<string, string> = { 'termination-notice': '#c62828', 'rebalance-recommendation': '#c78100', arrival: '#1e6fd0' }

function mark(u: uPlot, marks: Schemas['poolMark'][]) {
  const { ctx, bbox } = u
  ctx.save()
  for (const m of marks) {
    const x = u.valToPos(Date.parse(m.at) / 1000, 'x', true)
    if (x < bbox.left || x > bbox.left + bbox.width) continue
    ctx.strokeStyle = markColors[m.kind] ?? '#777'
    ctx.lineWidth = 1.5
    ctx.beginPath()
    ctx.moveTo(x, bbox.top)
    ctx.lineTo(x, bbox.top + (m.kind === 'arrival' ? bbox.height : bbox.height / 4))
    ctx.stroke()
  }
  ctx.restore()
}
