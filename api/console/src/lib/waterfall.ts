import type { Schemas } from '../api/client'
import { duration, words } from './format'
import { doorWords } from './glossary'

export type Tone = 'done' | 'open' | 'failed' | 'dropped' | 'wait'

/** Row is one line of a waterfall. Times are milliseconds since the notice arrived, or since the operation began. */
export interface Row {
  key: string
  label: string
  detail: string
  from: number
  /** null: a moment, not a span */
  to: number | null
  tone: Tone
  /** it goes on */
  running: boolean
}

export interface Waterfall {
  rows: Row[]
  /** where the axis begins: what was prepared before the notice has negative times */
  start: number
  /** the end of the axis */
  until: number
  deadline: number | null
  /** when a new primary led; null when none did */
  decided: number | null
}

type Detail = Schemas['operationDetail']
type Step = Schemas['stepAnswer']

/** What the evidence says better than a step of the same name. */
const shown = new Set(['notice arrived', 'notice durable', 'judged', 'primary changed'])

/** buildWaterfall puts everything that is known about an operation on one axis, in the order in which it began. */
export function buildWaterfall(op: Detail, now: number): Waterfall {
  const zero = Date.parse(op.began_at)
  const ms = (at: string | null | undefined): number | null => (at ? Date.parse(at) - zero : null)
  const ended = op.ended_at ? Math.max(...op.steps.map((s) => s.since_ms), ms(op.ended_at) ?? 0) : null
  const end = ended ?? Math.max(0, now - zero)
  const rows: Row[] = []
  const tick = (key: string, label: string, at: number, detail: string, tone: Tone = 'done') => rows.push({ key, label, detail, from: at, to: null, tone, running: false })
  const span = (key: string, label: string, from: number, to: number | null, detail: string, tone: Tone) =>
    rows.push({ key, label, detail, from, to: to ?? end, tone: to == null ? 'open' : tone, running: to == null })

  for (const n of op.notices) {
    const what = n.kind === 'termination-notice' ? 'notice' : 'rebalance recommendation'
    tick(`seen-${n.kind}`, `${what} seen`, ms(n.arrived_at)!, `from ${doorWords[n.door] ?? n.door} (door ${n.door})${n.arrivals > 1 ? `, ${n.arrivals} times in all` : ''}`)
    if (n.kind !== 'termination-notice') continue
    span('durable', 'row durable', ms(n.arrived_at)!, ms(n.received_at)!, 'the notice cannot be lost any more', 'done')
    if (n.delivered_at) span('judged', 'judged', ms(n.received_at)!, ms(n.delivered_at)!, 'by the roles of the agent', 'done')
  }
  // What ended before, and the launch of the instance that is left, belong to another story.
  const prepared = op.related.filter((r) => r.kind === 'replica' && (r.ended_at == null || ms(r.ended_at)! >= 0))
  const mine = new Set([op.replica_id, ...prepared.map((r) => r.replica_id)])
  for (const l of op.launches) {
    if (!mine.has(l.replica_id) || (l.instance_id != null && l.instance_id === op.instance_id)) continue
    const failed = l.state === 'failed'
    span('launch-' + l.replica_id + l.pool_id + l.mode, `launch in ${l.pool_id}`, ms(l.at)!, ms(l.ended_at), failed ? `refused: ${l.error_code ?? 'unknown'}` : `${l.mode} ${l.instance_id ?? ''}`, failed ? 'failed' : 'done')
  }
  for (const r of prepared) {
    addSteps(rows, r.steps, 'replica: ', ms(r.ended_at) ?? (r.state === 'running' ? null : end), end, r.id, (s) => s.name.startsWith('launch in'))
  }
  for (const c of op.role_changes) tick(`epoch-${c.epoch}`, `roles changed, epoch ${c.epoch - 1} → ${c.epoch}`, ms(c.at)!, `${c.new_primary} leads instead of ${c.old_primary}`)
  addSteps(rows, op.steps, '', ended, end, op.id, (s) => op.notices.length > 0 && shown.has(s.name) && (s.name !== 'primary changed' || op.role_changes.length > 0))
  if (op.ended_at) tick('end', op.state === 'succeeded' ? 'operation ended' : 'operation ' + op.state, ended!, op.error_message ?? op.summary, op.state === 'failed' ? 'failed' : 'done')
  rows.sort((a, b) => a.from - b.from || (a.to ?? a.from) - (b.to ?? b.from))
  const deadline = ms(op.deadline_at)
  const lastEnd = Math.max(1000, ...rows.map((r) => r.to ?? r.from))
  return {
    rows, deadline, start: Math.min(0, ...rows.map((r) => r.from)),
    until: deadline == null ? lastEnd : Math.max(deadline, ...(op.ended_at ? [lastEnd] : [])),
    decided: op.role_changes.length ? ms(op.role_changes[0]!.at) : null,
  }
}

function addSteps(rows: Row[], steps: Step[], prefix: string, ended: number | null, now: number, id: string, skip: (s: Step) => boolean) {
  steps.forEach((s, i) => {
    if (skip(s)) return
    const next = steps.slice(i + 1).find((x) => x.since_ms > s.since_ms)
    const label = prefix + words(s.name)
    const key = `${id}-${i}`
    if (s.status === 'started') {
      const to = next?.since_ms ?? ended
      rows.push({ key, label, detail: s.detail, from: s.since_ms, to: to ?? now, tone: to == null ? 'open' : s.name.startsWith('waiting') || s.name.startsWith('looking') ? 'wait' : 'done', running: to == null })
    } else rows.push({ key, label, detail: s.detail, from: s.since_ms, to: null, tone: s.status === 'failed' ? 'failed' : s.status === 'dropped' ? 'dropped' : 'done', running: false })
  })
}

/** ticksOf are round moments of an axis, six or so. */
export function ticksOf(until: number): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5, 72e5, 216e5, 864e5]
  const step = steps.find((s) => until / s <= 7) ?? until / 6
  const out: number[] = []
  for (let t = 0; t <= until + 1; t += step) out.push(t)
  return out
}

/** secondsLeft is how much of the two minutes was left at a moment. */
export function secondsLeft(w: Waterfall, at: number): string {
  return w.deadline == null ? '' : at > w.deadline ? `${duration(at - w.deadline)} over` : `${((w.deadline - at) / 1000).toFixed(1)} s left`
}

/** postMortem writes the waterfall as Markdown, for a document about the incident. */
export function postMortem(op: Detail, w: Waterfall): string {
  const lines = [
    `# ${op.summary}`, '',
    `Agent ${op.agent_name} (${op.agent_id}), operation ${op.id}, ${op.state}.`,
    `Began ${op.began_at}${op.deadline_at ? `, deadline ${op.deadline_at}` : ''}.`,
    w.decided == null ? 'The primary did not change.' : `A new primary led after ${duration(w.decided)}${w.deadline == null ? '' : `, with ${secondsLeft(w, w.decided)}`}.`, '',
    '| after | took | what | detail | left |', '|---|---|---|---|---|',
    ...w.rows.map((r) => `| ${duration(r.from)} | ${r.to == null ? '' : duration(r.to - r.from)} | ${r.label} | ${r.detail.replaceAll('|', '\\|')} | ${secondsLeft(w, r.from)} |`), '',
  ]
  return lines.join('\n')
}
