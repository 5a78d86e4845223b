import { useQuery } from '@tanstack/react-query'
import type { Schemas } from '../api/client'
import * as q from '../api/queries'
import { useId } from '../lib/address'
import { clock, duration, money, words } from '../lib/format'
import { doorWords } from '../lib/glossary'
import { buildWaterfall, postMortem, secondsLeft } from '../lib/waterfall'
import { CallOff } from '../ui/CallOff'
import { CopyButton } from '../ui/Copy'
import { DataTable } from '../ui/DataTable'
import { Decide } from '../ui/Decide'
import { AgentLink, OperationLink, named, withIds } from '../ui/links'
import { Chip, download, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { Countdown, useNow, When } from '../ui/time'
import { WaterfallChart } from '../ui/WaterfallChart'

/** One operation: for a termination, the waterfall of a failover against its two minutes. */
export default function Operation() {
  const id = useId()
  const operation = useQuery(q.operation(id))
  return <Show of={operation} what="the operation">{(op) => <Detail op={op} />}</Show>
}

function Detail({ op }: { op: Schemas['operationDetail'] }) {
  const now = useNow()
  const version = useQuery(q.version)
  const w = buildWaterfall(op, now)
  const running = op.state === 'running'
  const temporal = version.data?.temporal_ui_url
    ? `${version.data.temporal_ui_url}/namespaces/${encodeURIComponent(version.data.temporal_namespace)}/workflows/${encodeURIComponent(op.id)}` : null
  const text = postMortem(op, w)
  return (
    <>
      <Head title={named(op.summary, op.agent_id, op.agent_name) || op.id}
        crumb={<>{op.kind === 'termination' ? 'Failover' : words(op.kind)} of <AgentLink id={op.agent_id} name={op.agent_name} /></>}
        lead={<span className="row"><Chip state={op.state} /><span>{words(op.phase)}</span>
          {running && op.deadline_at && <span>AWS takes the instance in <Countdown to={op.deadline_at} label="time left" /></span>}
          <span>began <When at={op.began_at} /></span></span>}>
        {temporal && <a className="button" href={temporal} target="_blank" rel="noreferrer">Open in Temporal</a>}
        <CopyButton text={`${verdict(op, w)}\n${window.location.href}`}>Copy the summary</CopyButton>
        <CopyButton text={text}>Copy as post-mortem</CopyButton>
        <button onClick={() => download(op.id.replaceAll('/', '-') + '.md', 'text/markdown', text)}>Download post-mortem</button>
        {running && <CallOff op={op} />}
      </Head>
      {op.waits_for && <div className="problem stack"><strong>{op.waits_for}</strong><Decide op={op} /></div>}
      {op.error_message && <div className="problem"><strong>{op.error_message}</strong> <span className="mono">{op.error_code}</span></div>}
      <div aria-live="polite" className="note" data-testid="verdict">{verdict(op, w)}</div>
      <Why op={op} />
      {op.cost && <Cost c={op.cost} running={running} />}
      <Panel title="Waterfall">
        {w.rows.length === 0 ? <Empty title="It has taken no step yet." /> : <WaterfallChart w={w} now={running ? now - Date.parse(op.began_at) : null} />}
      </Panel>
      <Panel title="Steps" flush>
        <DataTable label="Steps" rows={w.rows} rowKey={(r) => r.key} csvName={op.id.replaceAll('/', '-')} empty={<Empty title="It has taken no step yet." />}
          columns={[
            { key: 'after', title: 'After', numeric: true, value: (r) => r.from, cell: (r) => <span title={clock(Date.parse(op.began_at) + r.from) + ' UTC'}>{duration(r.from)}</span> },
            { key: 'took', title: 'Took', numeric: true, value: (r) => r.to == null ? null : r.to - r.from, cell: (r) => r.to == null ? '–' : duration(r.to - r.from) + (r.running ? ' so far' : '') },
            { key: 'left', title: 'Left', numeric: true, value: (r) => secondsLeft(w, r.from) },
            { key: 'what', title: 'What', value: (r) => r.label },
            { key: 'state', title: 'State', value: (r) => r.running ? 'running' : r.tone, cell: (r) => <Chip state={r.running ? 'running' : r.tone === 'wait' ? 'done' : r.tone} /> },
            { key: 'detail', title: 'Detail', value: (r) => r.detail, cell: (r) => withIds(r.detail) },
          ]} />
      </Panel>
      {op.related.length > 0 && (
        <Panel title="Beside it" flush>
          <DataTable label="Operations of the same time" rows={op.related} rowKey={(r) => r.id} empty={null}
            columns={[
              { key: 'kind', title: 'Kind', value: (r) => r.kind, cell: (r) => <OperationLink id={r.id}>{r.kind}</OperationLink> },
              { key: 'state', title: 'State', value: (r) => r.state, cell: (r) => <Chip state={r.state} /> },
              { key: 'what', title: 'What', value: (r) => r.summary, cell: (r) => withIds(named(r.summary, op.agent_id, op.agent_name)) },
              { key: 'began', title: 'Began', value: (r) => r.started_at, cell: (r) => <When at={r.started_at} /> },
              { key: 'ended', title: 'Ended', value: (r) => r.ended_at, cell: (r) => <When at={r.ended_at} /> },
            ]} />
        </Panel>
      )}
    </>
  )
}

/** Why is what the operation was begun for: AWS's notice, or what the engine or a person said of the move. */
function Why({ op }: { op: Schemas['operationDetail'] }) {
  const explain = useQuery({ ...q.explain(op.agent_id), enabled: op.kind === 'switch' })
  const notice = op.notices[0]
  const move = explain.data?.switches.find((x) => x.operation_id === op.id)
  if (notice) {
    return <p data-testid="why">AWS {notice.kind === 'termination-notice' ? 'announced the end of' : 'recommended to leave'} {op.instance_id}. Spotkeeper heard of it first from {doorWords[notice.door] ?? notice.door}, <When at={notice.arrived_at} />.</p>
  }
  if (move) return <p data-testid="why">{move.by ? `${move.by} asked for it` : `It was ordered by ${words(move.trigger)}`}{move.reason && `: ${move.reason.replace(/\.$/, '')}`}. It is to save {money(move.savings_impact_per_hour)}/h.</p>
  return null
}

/** Cost is what the change of primary cost once, and what it changes for every hour from then on. */
function Cost({ c, running }: { c: Schemas['moveCostAnswer']; running: boolean }) {
  const less = c.old_hourly != null && c.new_hourly != null ? c.old_hourly - c.new_hourly : null
  return (
    <section className="figures" aria-label="What it cost">
      <Figure n={money(c.double_running_usd)} k={`for ${duration(c.double_running_seconds * 1000)} in which both ran${running ? ', so far' : ''}`} />
      <Figure n={`${money(c.old_hourly)}/h`} k="the primary before" />
      <Figure n={`${money(c.new_hourly)}/h`} k="the primary after" />
      {less != null && <Figure n={`${money(Math.abs(less))}/h`} k={less >= 0 ? 'less for every hour from then on' : 'more for every hour from then on'} />}
    </section>
  )
}

/** verdict is the whole story in a sentence. */
function verdict(op: Schemas['operationDetail'], w: ReturnType<typeof buildWaterfall>): string {
  const change = op.role_changes[0]
  const notice = op.notices.find((n) => n.kind === 'termination-notice')
  const end = op.state === 'running' ? '' : op.state === 'succeeded' ? ' The operation has ended.' : op.state === 'failed' ? ' The operation failed.' : ` The operation was ${op.state}.`
  if (change) return `${change.new_primary} leads instead of ${change.old_primary} since ${duration(w.decided)} after ${notice ? 'the notice' : 'the beginning'}${w.deadline != null && w.decided != null ? `, with ${secondsLeft(w, w.decided)}` : ''}.${end}`
  if (notice?.result === 'lost') return `No instance could take over from ${op.instance_id} before AWS took it.${end}`
  if (notice?.result === 'promoted') return `${notice.new_primary} leads since ${duration(notice.decided_ms)} after the notice.${end}`
  if (op.kind === 'termination') return `Nothing has taken over from ${op.instance_id} yet.${end}`
  return (op.state === 'running' ? `It is ${words(op.phase) || 'beginning'}.` : op.summary.replace(/\.$/, '') + '.') + end
}
