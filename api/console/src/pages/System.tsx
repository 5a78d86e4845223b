import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import packages from 'virtual:packages'
import { api, ask } from '../api/client'
import * as q from '../api/queries'
import { usePolling } from '../app/live'
import { count, duration, words } from '../lib/format'
import { useSay } from '../app/toasts'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

export default function System() {
  const ready = useQuery({ ...q.dependencies, refetchInterval: usePolling(5_000) })
  const version = useQuery(q.version)
  const health = useQuery(q.systemHealth)
  const overview = useQuery(q.overview)
  return (
    <>
      <Head title="System" lead="The process that answers you, and what it depends on." >{version.data?.temporal_ui_url && <a className="button" href={version.data.temporal_ui_url} target="_blank" rel="noreferrer">Temporal UI</a>}</Head>
      <Show of={version} what="the version">{(v) => (
        <div className="figures">
          <Figure n={v.version === 'devel' && v.commit ? v.commit.slice(0, 12) : v.version} k={`version, ${v.go}`} />
          <Figure n={<When at={v.started_at} />} k="it was started" />
          <Figure n={v.temporal_namespace} k="namespace of Temporal" />
          <Figure n={overview.data ? count(overview.data.notices_undelivered) : '–'} k={overview.data ? `notices wait, the oldest ${duration(overview.data.oldest_undelivered_seconds * 1000)}` : 'notices wait'} />
        </div>
      )}</Show>
      <Panel title="Dependencies" flush>
        <Show of={ready} what="dependencies">{(r) => (
          <DataTable label="Dependencies" rows={r.dependencies} rowKey={(c) => c.name} empty={null}
            columns={[
              { key: 'name', title: 'Part', value: (c) => words(c.name) }, { key: 'ok', title: 'State', value: (c) => c.ok ? 'ready' : 'failed', cell: (c) => <Chip state={c.ok ? 'ready' : 'failed'} label={c.ok ? 'works' : 'does not work'} /> },
              { key: 'took', title: 'Answered in', numeric: true, value: (c) => c.took_ms, cell: (c) => c.took_ms.toFixed(1) + ' ms' }, { key: 'error', title: 'Why', value: (c) => c.error ?? '' },
            ]} />
        )}</Show>
      </Panel>
      <Workers />
      <EventQueues />
      <Logins />
      <Panel title="Decision engine" flush>
        <Show of={health} what="the engine">{(h) => (
          <DataTable label="Decision engine" rows={[
            { what: 'Engine', value: `${h.decisionEngineStatus.type ?? 'none'} ${h.decisionEngineStatus.version ?? ''}`, ok: h.decisionEngineStatus.loaded },
            { what: 'Model', value: `${h.modelStatus.name ?? 'none'} ${h.modelStatus.version ?? ''}`, ok: h.modelStatus.loaded },
            { what: 'Database connections, of the pool', value: h.connectionPool, ok: h.database === 'Connected' },
          ]} rowKey={(x) => x.what} empty={null} sortable={false}
            columns={[{ key: 'what', title: 'Part', value: (x) => x.what }, { key: 'value', title: 'Is', value: (x) => x.value }, { key: 'ok', title: 'State', value: (x) => String(x.ok), cell: (x) => <Chip state={x.ok ? 'ready' : 'failed'} label={x.ok ? 'works' : 'does not work'} /> }]} />
        )}</Show>
      </Panel>
      <Components />
    </>
  )
}

/** Workers are the processes that do the work, and the share of each of their versions. */
function Workers() {
  const workers = useQuery({ ...q.workers, refetchInterval: usePolling(15_000) })
  return (
    <>
      <Panel title="Workers" flush>
        <Show of={workers} what="workers">{(d) => (
          <DataTable label="Workers" rows={d.workers} rowKey={(w) => w.queue + w.identity} empty={<Empty title="No worker has asked for work in the last minutes."><span>Without one nothing is moved, and notices wait. Start a worker, or look at its log.</span></Empty>}
            columns={[
              { key: 'who', title: 'Worker', value: (w) => w.identity, cell: (w) => <span className="mono">{w.identity}</span> }, { key: 'queue', title: 'Queue', value: (w) => w.queue },
              { key: 'version', title: 'Version', value: (w) => w.build_id || 'unversioned' }, { key: 'seen', title: 'Asked for work', value: (w) => w.last_seen_at, cell: (w) => <When at={w.last_seen_at} /> },
            ]} />
        )}</Show>
      </Panel>
      {(workers.data?.versions.length ?? 0) > 0 && (
        <Panel title="Versions of workers" flush>
          <DataTable label="Versions of workers" rows={workers.data!.versions} rowKey={(v) => v.deployment + v.build_id} empty={null}
            columns={[
              { key: 'version', title: 'Version', value: (v) => v.build_id, cell: (v) => <span className="row"><span className="mono">{v.build_id}</span>{v.current && <Chip state="live" label="current" />}{v.drained && <Chip state="done" label="drained" />}</span> },
              { key: 'deployment', title: 'Deployment', value: (v) => v.deployment }, { key: 'ramp', title: 'Of new workflows', numeric: true, value: (v) => v.ramp_percent, cell: (v) => v.current ? 'all others' : `${v.ramp_percent} %` },
              { key: 'made', title: 'Since', value: (v) => v.created_at, cell: (v) => <When at={v.created_at} /> },
            ]} />
        </Panel>
      )}
    </>
  )
}

/** EventQueues are what each worker last saw of the queues of AWS's events. */
function EventQueues() {
  const queues = useQuery({ ...q.eventQueues, refetchInterval: usePolling(15_000) })
  return (
    <Panel title="Queues of AWS’s events" flush>
      <Show of={queues} what="queues">{(d) => (
        <DataTable label="Queues of AWS’s events" rows={d.queues} rowKey={(x) => x.queue + x.worker} empty={<Empty title="No worker reads a queue."><span>EVENTS_QUEUES is empty, or its worker is away. Notices then come from agents, and from the survey of EC2, alone.</span></Empty>}
          columns={[
            { key: 'queue', title: 'Queue', value: (x) => x.queue.split('/').at(-1), cell: (x) => <span className="mono" title={x.queue}>{x.queue.split('/').at(-1)}</span> },
            { key: 'worker', title: 'Worker', value: (x) => x.worker, cell: (x) => <span className="mono">{x.worker}</span> },
            { key: 'state', title: 'State', value: (x) => x.error ? 'failed' : 'ready', cell: (x) => <Chip state={x.error ? 'failed' : x.waited_ms > 30_000 ? 'warning' : 'ready'} label={x.error ? 'cannot be read' : x.waited_ms > 30_000 ? 'behind' : 'works'} /> },
            { key: 'waited', title: 'Longest wait, last minute', numeric: true, value: (x) => x.waited_ms, cell: (x) => duration(x.waited_ms) },
            { key: 'received', title: 'SQS answered', value: (x) => x.received_at, cell: (x) => <When at={x.received_at} /> },
            { key: 'why', title: 'Why', value: (x) => x.error ?? '' },
          ]} />
      )}</Show>
    </Panel>
  )
}

/** Components are what the program and this console are built of, each with its licence. */
function Components() {
  const [open, setOpen] = useState(false)
  const parts = useQuery({ ...q.components, enabled: open })
  if (!open) return <Panel title="Components and licences"><button onClick={() => setOpen(true)}>Show them</button></Panel>
  return (
    <Panel title="Components and licences" flush>
      <Show of={parts} what="components">{(d) => (
        <DataTable label="Components" rows={[...d.components.map((c) => ({ ...c, licence: '' })), ...packages.map((p) => ({ name: p.name, version: p.version, sum: p.integrity, licence: p.licence, licence_url: 'https://www.npmjs.com/package/' + p.name }))]} rowKey={(c) => c.name + c.version} csvName="components" empty={<Empty title="The program does not know its modules." />}
          columns={[
            { key: 'name', title: 'Component', value: (c) => c.name, cell: (c) => <span className="mono">{c.name}</span> }, { key: 'version', title: 'Version', value: (c) => c.version },
            { key: 'licence', title: 'Licence', value: (c) => c.licence || c.licence_url, cell: (c) => <a href={c.licence_url} target="_blank" rel="noreferrer" aria-label={'licence of ' + c.name}>{c.licence || 'read it'}</a> },
            { key: 'sum', title: 'Checksum', csvOnly: true, value: (c) => c.sum },
          ]} />
      )}</Show>
    </Panel>
  )
}

/** Logins are the sessions of browsers that are good now. */
function Logins() {
  const client = useQueryClient()
  const say = useSay()
  const logins = useQuery(q.logins)
  return (
    <Panel title="Who is logged in" flush>
      <Show of={logins} what="sessions">{(d) => (
        <DataTable label="Sessions" rows={d.sessions} rowKey={(x) => x.id} empty={null}
          columns={[
            { key: 'who', title: 'Who', value: (x) => x.operator || x.client_name }, { key: 'as', title: 'As', value: (x) => x.client_id ? 'tenant' : x.role }, { key: 'via', title: 'By', value: (x) => x.via === 'oidc' ? 'identity provider' : 'token' },
            { key: 'from', title: 'From', value: (x) => x.address }, { key: 'since', title: 'Since', value: (x) => x.started_at, cell: (x) => <When at={x.started_at} /> }, { key: 'seen', title: 'Last seen', value: (x) => x.last_seen_at, cell: (x) => <When at={x.last_seen_at} /> },
            { key: 'acts', title: 'Actions', bare: true, value: () => null, cell: (x) => (
              <Ask needs="endOperatorSession" trigger={<button className="danger">End …</button>} title={`End the session of ${x.operator || x.client_name}?`} confirm="End it" danger act={async () => { await ask(api.DELETE('/api/admin/sessions/{session_id}', { params: { path: { session_id: x.id } } })); await refresh(client, { queryKey: ['logins'] }); say('The session has ended.') }}>
                <p>It ends in every process, with its stream. Who has a token may log in again.</p>
              </Ask>
            ) },
          ]} />
      )}</Show>
    </Panel>
  )
}
