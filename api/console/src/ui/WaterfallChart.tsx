import { useState } from 'react'
import { duration } from '../lib/format'
import { secondsLeft, ticksOf, type Waterfall } from '../lib/waterfall'

const labelWidth = 270
const width = 1180
const rowHeight = 24

/** WaterfallChart draws an operation against its deadline. The table below it has the same figures. */
export function WaterfallChart({ w, now }: { w: Waterfall; now: number | null }) {
  const close = w.decided != null && w.decided < w.until / 3
  const [near, setNear] = useState(false)
  const until = near && w.decided != null ? Math.max(50, w.decided * 1.25) : w.until
  const rows = w.rows.filter((r) => r.from <= until)
  const start = Math.max(w.start, -until * (near ? 0.25 : 0.1)) // what is older begins at the edge
  const x = (ms: number) => labelWidth + ((Math.min(Math.max(ms, start), until) - start) / (until - start)) * (width - labelWidth - 150)
  const height = rows.length * rowHeight + 46
  const title = w.decided == null ? 'The primary has not changed.' : `A new primary led after ${duration(w.decided)}${w.deadline == null ? '.' : ', ' + secondsLeft(w, w.decided) + '.'}`
  return (
    <div className="stack">
      {close && (
        <div className="row" role="group" aria-label="Axis">
          <button aria-pressed={!near} onClick={() => setNear(false)}>{w.deadline == null ? 'Whole' : 'To the deadline'}</button>
          <button aria-pressed={near} onClick={() => setNear(true)}>To the new primary, {duration(w.decided!)}</button>
        </div>
      )}
      <div className="waterfall" tabIndex={0} role="group" aria-label="Waterfall">
        <svg viewBox={`0 0 ${width} ${height}`} role="img" aria-label={title} data-rows={rows.length}>
          {ticksOf(until).map((t) => (
            <g key={t}>
              <line className="axis" x1={x(t)} x2={x(t)} y1={22} y2={height - 18} />
              <text className="dim" x={x(t)} y={14} textAnchor="middle">{duration(t)}</text>
            </g>
          ))}
          {rows.map((r, i) => {
            const y = 28 + i * rowHeight
            const from = x(r.from)
            const to = r.to == null ? from : x(r.to)
            const took = r.to == null ? duration(r.from) : `${duration(r.from)} + ${duration(r.to - r.from)}`
            const left = w.deadline != null && r.from > 0 ? ' · ' + secondsLeft(w, r.from) : ''
            return (
              <g key={r.key}>
                <title>{`${r.label}: ${r.detail}. After ${took}. ${secondsLeft(w, r.from)}`}</title>
                <text x={labelWidth - 14} y={y + 13} textAnchor="end">{r.label.length > 42 ? r.label.slice(0, 41) + '…' : r.label}</text>
                {r.to == null
                  ? <path className={r.tone} d={`M${from} ${y + 1} l7 8 l-7 8 l-7 -8 z`} />
                  : <rect className={'bar ' + r.tone} x={from} y={y + 2} width={Math.max(3, to - from)} height={14} />}
                {to - from > 320
                  ? <text className="inside" x={from + 8} y={y + 13}>{took}{left}</text>
                  : <text className="dim" x={Math.max(to, from + 3) + 11} y={y + 13}>{took}{left}</text>}
              </g>
            )
          })}
          {w.deadline != null && w.deadline <= until && (
            <g>
              <line className="deadline" x1={x(w.deadline)} x2={x(w.deadline)} y1={22} y2={height - 18} />
              <text x={x(w.deadline)} y={height - 4} textAnchor="middle">AWS takes the instance</text>
            </g>
          )}
          {now != null && now < until && <line className="now" x1={x(now)} x2={x(now)} y1={22} y2={height - 18}><title>now</title></line>}
        </svg>
      </div>
    </div>
  )
}
