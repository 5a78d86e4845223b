import { useQuery, useQueryClient } from '@tanstack/react-query'
import { api, ask } from '../api/client'
import * as q from '../api/queries'
import { count, duration, words } from '../lib/format'
import { useSay } from '../app/toasts'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

export default function System() {
  const ready = useQuery({ ...q.dependencies, refetchInterval: 5_000 })
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
    </>
  )
}

/** Workers are the processes that do the work, and the share of each of their versions. */
function Workers() {
  const workers = useQuery({ ...q.workers, refetchInterval: 15_000 })
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
