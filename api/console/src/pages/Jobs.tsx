import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { usePolling } from '../app/live'
import { useSay } from '../app/toasts'
import { duration } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

type Job = Schemas['scheduleItem']

export default function Jobs() {
  const jobs = useQuery({ ...q.schedules, refetchInterval: usePolling(5_000) })
  return (
    <>
      <Head title="Jobs" lead="What runs by the clock." />
      <Show of={jobs} what="jobs">{(d) => (
        <>
          <Panel title="Schedules" flush>
            <DataTable label="Schedules" rows={d.schedules} rowKey={(j) => j.id} csvName="jobs" empty={<Empty title="No job is scheduled."><span>The worker makes the schedules when it starts.</span></Empty>}
              columns={[
                { key: 'job', title: 'Job', value: (j) => j.id, cell: (j) => <div><strong>{j.id}</strong><div className="muted">{j.note}</div></div> },
                { key: 'state', title: 'State', value: (j) => state(j), cell: (j) => <span className="row"><Chip state={state(j)} label={j.absent ? 'not made yet' : j.paused ? `paused${j.reason ? ': ' + j.reason : ''}` : undefined} /></span> },
                { key: 'cron', title: 'When (UTC)', value: (j) => j.cron, cell: (j) => <code>{j.cron}</code> },
                { key: 'last', title: 'Last run', value: (j) => j.last_runs[0]?.started_at, cell: (j) => <Last run={j.last_runs[0]} /> },
                { key: 'next', title: 'Next', value: (j) => j.next_runs[0], cell: (j) => j.paused ? <span className="muted">paused</span> : <When at={j.next_runs[0]} /> },
                { key: 'acts', title: 'Actions', bare: true, value: () => null, cell: (j) => <Acts j={j} /> },
              ]} />
          </Panel>
          <Panel title="Last runs" flush>
            <DataTable label="Last runs" rows={d.schedules.flatMap((j) => j.last_runs.map((r) => ({ ...r, job: j.id }))).sort((a, b) => b.started_at.localeCompare(a.started_at)).slice(0, 60)} rowKey={(r) => r.job + r.period} csvName="job-runs" empty={<Empty title="No job has run yet." />}
              columns={[
                { key: 'job', title: 'Job', value: (r) => r.job }, { key: 'state', title: 'State', value: (r) => r.state, cell: (r) => <Chip state={r.state} /> },
                { key: 'at', title: 'Began', value: (r) => r.started_at, cell: (r) => <When at={r.started_at} /> },
                { key: 'took', title: 'Took', numeric: true, value: (r) => r.ended_at ? Date.parse(r.ended_at) - Date.parse(r.started_at) : null, cell: (r) => r.ended_at ? duration(Date.parse(r.ended_at) - Date.parse(r.started_at)) : '–' },
                { key: 'counts', title: 'Counts', value: (r) => JSON.stringify(r.counts), cell: (r) => <span>{Object.entries((r.counts ?? {}) as Record<string, unknown>).map(([k, v]) => `${k} ${String(v)}`).join(', ') || '–'}{r.error && <div className="bad-text">{r.error}</div>}</span> },
              ]} />
          </Panel>
        </>
      )}</Show>
    </>
  )
}

function state(j: Job): string {
  return j.absent ? 'pending' : j.paused ? 'paused' : j.running.length > 0 ? 'running' : j.last_runs[0]?.state === 'failed' ? 'failed' : 'active'
}

function Last({ run }: { run?: Schemas['runItem'] }) {
  if (!run) return <span className="muted">never</span>
  return <span className="row"><Chip state={run.state} /><When at={run.started_at} /></span>
}

function Acts({ j }: { j: Job }) {
  const client = useQueryClient()
  const say = useSay()
  const [reason, setReason] = useState('')
  const [from, setFrom] = useState(''), [until, setUntil] = useState('')
  const path = { params: { path: { job: j.id } } }
  const done = async (text: string) => {
    await refresh(client, { queryKey: ['schedules'] })
    say(text)
  }
  return (
    <div className="row" style={{ flexWrap: 'nowrap' }}>
      <Ask needs="triggerJob" trigger={<button>Run now …</button>} title={`Run ${j.id} now?`} confirm="Run now" act={async () => { await ask(api.POST('/api/admin/schedules/{job}/trigger', path)); await done(`${j.id} runs.`) }}><p>{j.note}</p></Ask>
      {j.paused
        ? <Ask needs="resumeJob" trigger={<button>Resume …</button>} title={`Let ${j.id} run by the clock again?`} confirm="Resume" act={async () => { await ask(api.POST('/api/admin/schedules/{job}/resume', path)); await done(`${j.id} runs by the clock again.`) }}><p>It was paused: {j.reason || 'no reason given'}.</p></Ask>
        : <Ask needs="pauseJob" trigger={<button>Pause …</button>} title={`Stop ${j.id} from running by the clock?`} confirm="Pause" ready={reason.trim() !== ''} act={async () => { await ask(api.POST('/api/admin/schedules/{job}/pause', { ...path, body: { reason } })); await done(`${j.id} is paused.`) }}><p>{j.note} A pause of a job has no end of its own.</p><label className="field">Reason<input value={reason} onChange={(e) => setReason(e.target.value)} /></label></Ask>}
      <Ask needs="backfillJob" trigger={<button>Backfill …</button>} title={`Run ${j.id} for times that are over?`} confirm="Backfill" ready={from !== '' && until !== ''}
        act={async () => { await ask(api.POST('/api/admin/schedules/{job}/backfill', { ...path, body: { from: from + ':00Z', until: until + ':00Z' } })); await done(`${j.id} is being backfilled.`) }}>
        <p>It runs once for each time it was due.</p>
        <div className="row"><label className="field">From (UTC)<input type="datetime-local" value={from} onChange={(e) => setFrom(e.target.value)} /></label><label className="field">Until (UTC)<input type="datetime-local" value={until} onChange={(e) => setUntil(e.target.value)} /></label></div>
      </Ask>
    </div>
  )
}
