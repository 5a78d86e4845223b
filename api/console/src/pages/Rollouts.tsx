import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask, upload, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { usePolling } from '../app/live'
import { useSay } from '../app/toasts'
import { money, percent, plural, words } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { Allowed } from '../ui/Allowed'
import { Copy } from '../ui/Copy'
import { Ask } from '../ui/Dialog'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

type Rollout = Schemas['rolloutAnswer']

export default function Rollouts() {
  const rollouts = useQuery({ ...q.rollouts, refetchInterval: usePolling(5_000) })
  const engines = useQuery(q.sessions('engine'))
  const sessions = useQuery({ ...q.sessions('models'), select: (list) => [...list, ...(engines.data ?? [])] })
  const open = rollouts.data?.rollouts.filter((r) => !r.ended_at) ?? []
  return (
    <>
      <Head title="Rollouts" lead="How a decision model earns its way: shadow, canary, live, under guards."><Upload /></Head>
      <Show of={rollouts} what="rollouts">{(d) => (
        <>
          {open.map((r) => <Open key={r.session_id} r={r} />)}
          {open.length === 0 && <Panel title="Under way"><Empty title="No rollout is under way."><span>Upload a model, then roll it out from the list below. A program does the same with</span><Copy label="upload command" text={'curl -H "Authorization: Bearer $ADMIN_TOKEN" -F files=@model.onnx $URL/api/admin/ml-models/upload'} /></Empty></Panel>}
          <Panel title="Models" flush>
            <Show of={sessions} what="models">{(s) => (
              <DataTable label="Models" rows={s} rowKey={(x) => x.id} empty={<Empty title="No model was uploaded."><span>The built-in rules decide.</span></Empty>}
                columns={[
                  { key: 'id', title: 'Model', value: (x) => x.id, cell: (x) => <div className="mono">{x.id}<div className="muted">{x.files.join(', ')}</div></div> },
                  { key: 'state', title: 'State', value: (x) => x.status, cell: (x) => <Chip state={x.isLive ? 'live' : x.status} label={x.isLive ? 'live' : x.isFallback ? 'fallback' : words(x.status)} /> },
                  { key: 'made', title: 'Uploaded', value: (x) => x.createdAt, cell: (x) => <When at={x.createdAt} /> },
                  { key: 'act', title: 'Actions', bare: true, value: () => null, cell: (x) => x.isLive || open.length > 0 ? null : <Start id={x.id} /> },
                ]} />
            )}</Show>
          </Panel>
          <Panel title="Past rollouts" flush>
            <DataTable label="Past rollouts" rows={d.rollouts.filter((r) => r.ended_at)} rowKey={(r) => r.session_id + r.started_at} csvName="rollouts" empty={<Empty title="None yet." />}
              columns={[
                { key: 'id', title: 'Model', value: (r) => r.session_id, cell: (r) => <span className="mono">{r.session_id}</span> }, { key: 'end', title: 'Ended as', value: (r) => r.phase, cell: (r) => <Chip state={r.failure ? 'failed' : 'done'} label={words(r.phase)} /> },
                { key: 'why', title: 'Why', value: (r) => r.failure || r.detail }, { key: 'by', title: 'By', value: (r) => r.started_by },
                { key: 'at', title: 'Began', value: (r) => r.started_at, cell: (r) => <When at={r.started_at} /> }, { key: 'to', title: 'Ended', value: (r) => r.ended_at, cell: (r) => <When at={r.ended_at} /> },
              ]} />
          </Panel>
        </>
      )}</Show>
    </>
  )
}

function Upload() {
  const client = useQueryClient()
  const say = useSay()
  const [file, setFile] = useState<File | null>(null)
  return (
    <Ask needs="uploadModels" trigger={<button>Upload a model …</button>} title="Upload a model?" confirm="Upload" ready={file != null}
      act={async () => { const got = await upload(file!); await refresh(client, { queryKey: ['rollouts'] }); say(got.warning || 'It is kept, and decides nothing until it is rolled out.') }}>
      <p>A model in ONNX (.onnx), or an engine in Python (.py) where ENGINE_PYTHON is on. It is kept and checked; nothing changes before it is rolled out.</p>
      <label className="field">File<input type="file" accept=".onnx,.py,.pkl,.joblib" onChange={(e) => setFile(e.target.files?.[0] ?? null)} /></label>
    </Ask>
  )
}

function Start({ id }: { id: string }) {
  const client = useQueryClient()
  const say = useSay()
  return (
    <Ask needs="startRollout" trigger={<button>Roll out …</button>} title={`Roll ${id} out?`} confirm="Begin"
      act={async () => { await ask(api.POST('/api/admin/model-rollouts', { body: { session_id: id } })); await refresh(client, { queryKey: ['rollouts'] }); say('The rollout has begun.') }}>
      <p>It is validated, then compared in the shadow of what is live, then decides for some agents, then for all. Its guards take it back by themselves.</p>
    </Ask>
  )
}

const acts = [['promote', 'Next stage'], ['pause', 'Pause'], ['resume', 'Resume'], ['rollback', 'Roll back'], ['abort', 'Abort']] as const
const effects: Record<string, string> = {
  promote: 'It goes on to the next stage now, without waiting for its clock.', pause: 'The clock of the stage stops; the guards watch on.', resume: 'The clock of the stage goes on.',
  rollback: 'It is taken back from the agents that it decides for.', abort: 'The rollout ends, and what was live before it is live again.',
}

function Open({ r }: { r: Rollout }) {
  const client = useQueryClient()
  const say = useSay()
  const [asked, setAsked] = useState<(typeof acts)[number][0] | null>(null)
  const g = r.plan.guards, m = r.readings.group, decisions = m.decisions
  const guards = [
    { name: 'Errors', value: decisions ? m.errors / decisions : null, limit: g.error_rate, show: percent },
    { name: 'Failed failovers', value: m.failed_failovers, limit: g.failed_failovers, show: String },
    { name: 'Spend over the others', value: m.reference > 0 ? (m.spend / m.reference - 1) * 100 : null, limit: g.spend_percent, show: (v: number) => v.toFixed(1) + ' %' },
  ]
  const run = async () => {
    const path = { params: { path: { session_id: r.session_id } } }
    const send = { promote: () => api.POST('/api/admin/model-rollouts/{session_id}/promote', path), pause: () => api.POST('/api/admin/model-rollouts/{session_id}/pause', path), resume: () => api.POST('/api/admin/model-rollouts/{session_id}/resume', path), rollback: () => api.POST('/api/admin/model-rollouts/{session_id}/rollback', path), abort: () => api.POST('/api/admin/model-rollouts/{session_id}/abort', path) }
    await ask(send[asked!]())
    await refresh(client, { queryKey: ['rollouts'] })
    say('Done.')
  }
  return (
    <Panel title={`Under way: ${r.session_id}`} aside={<div className="row">{acts.filter(([a]) => a !== (r.paused ? 'pause' : 'resume')).map(([a, name]) => <Allowed key={a} to={a + 'Rollout'}><button className={a === 'abort' || a === 'rollback' ? 'danger' : ''} onClick={() => setAsked(a)}>{name} …</button></Allowed>)}</div>}>
      <div className="stack">
        <div className="row"><Chip state={r.paused ? 'paused' : 'running'} label={words(r.phase)} /><span>{r.percent} % of agents</span><span className="muted">by {r.started_by}, stage since <When at={r.stage_since} /></span></div>
        <div>Agrees with what is live in <strong>{r.readings.shadow.pairs > 0 ? percent(r.agreement) : 'nothing yet: none was compared'}</strong>{r.readings.shadow.pairs > 0 && ` of ${plural(r.readings.shadow.pairs, 'decision')}`}. {r.detail}</div>
        <table><caption>Guards</caption><thead><tr><th scope="col">Guard</th><th scope="col" className="num">Now</th><th scope="col" className="num">Limit</th><th scope="col">State</th></tr></thead>
          <tbody>{guards.map((x) => <tr key={x.name}><td>{x.name}</td><td className="num">{x.value == null ? 'not yet known' : x.show(x.value)}</td><td className="num">{x.show(x.limit)}</td><td>{x.value == null ? <Chip state="pending" label="waiting" /> : <Chip state={x.value > x.limit ? 'failed' : 'ready'} label={x.value > x.limit ? 'over' : 'within'} />}</td></tr>)}</tbody></table>
        <div className="muted">{decisions} decisions for {m.agents} agents, {m.switches} moves; spent {money(m.spend)}. A stage takes {r.plan.step}.</div>
      </div>
      <Ask needs="abortRollout" open={asked != null} onOpenChange={(o) => !o && setAsked(null)} title={asked ? acts.find(([a]) => a === asked)![1] + '?' : ''} confirm="Do it" danger={asked === 'abort' || asked === 'rollback'} act={run}><p>{effects[asked ?? '']}</p></Ask>
    </Panel>
  )
}
