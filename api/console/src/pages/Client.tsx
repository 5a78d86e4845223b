import { Link } from '@tanstack/react-router'
import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { useId } from '../lib/address'
import { count, money, plural } from '../lib/format'
import { severities } from '../lib/glossary'
import { installer, register, settings, terraform } from '../lib/onboarding'
import { Copy } from '../ui/Copy'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { Allowed } from '../ui/Allowed'
import { Checks, Result } from '../ui/Preflight'
import { MoveRules } from '../ui/MoveRules'
import { Tokens } from '../ui/Tokens'
import { Chip, Empty, Figure, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

export default function Client() {
  const id = useId()
  const client = useQuery(q.client(id))
  return <Show of={client} what="the client">{(c) => <Known c={c} />}</Show>
}

function Known({ c }: { c: Schemas['clientAnswer'] }) {
  const operator = useQuery(q.session).data?.operator ?? false
  return (
    <>
      <Head title={c.name} crumb={operator && <Link to="/clients">Clients</Link>} lead={<span className="row"><Chip state={c.status} /><span className="mono">{c.id}</span></span>}>{operator && <><Rotate c={c} /><Remove c={c} /></>}</Head>
      <div className="figures">
        <Figure n={count(c.agentsTotal)} k={`${c.agentsTotal === 1 ? 'agent' : 'agents'}, ${count(c.agentsOnline)} online`} to={'/fleet?client=' + c.id} /><Figure n={count(c.instances)} k={c.instances === 1 ? 'instance' : 'instances'} /><Figure n={money(c.totalSavings)} k="saved in all" />
        <Figure n={<When at={c.lastSync} />} k="heard from" />
      </div>
      {operator && <Steps c={c} />}
      <Account c={c} operator={operator} />
      <Limits c={c} operator={operator} />
      <MoveRules clientId={c.id} name={c.name} />
      <Tokens clientId={c.id} />
      <Sinks c={c} />
      <p><Link to="/fleet" search={{ client: c.id }}>The agents of {c.name}</Link></p>
    </>
  )
}

/** Steps lead from a new client to its first agent. */
function Steps({ c }: { c: Schemas['clientAnswer'] }) {
  const [token, setToken] = useState<string | null>(null)
  const say = useSay()
  const show = async () => {
    try {
      setToken((await ask(api.GET('/api/admin/clients/{client_id}/token', { params: { path: { client_id: c.id } } }))).token)
    } catch (cause) {
      say(cause instanceof Error ? cause.message : 'It could not be read.', true)
    }
  }
  const origin = window.location.origin
  return (
    <Panel title={c.agentsTotal === 0 ? 'Three steps to the first agent' : 'Another agent in three steps'} aside={c.agentsTotal > 0 ? <Chip state="ready" label="agents have registered" /> : <Chip state="pending" label="no agent yet" />}>
      <ol className="steps">
        <li><div className="stack"><h3>Let Spotkeeper act in the account</h3><p>Deploy this template in the client's account: its role may launch, end and describe instances that it tags. In the account of Spotkeeper itself nothing is needed.</p><RoleTemplate id={c.id} /></div></li>
        <li><div className="stack"><h3>Take the client's token</h3>{token ? <Copy label="token" text={token} /> : <div><Allowed to="showToken"><button onClick={() => void show()}>Show the token</button></Allowed></div>}<p className="muted">Each agent of {c.name} sends it, and no person needs it: people and programs have tokens of their own, below.</p></div></li>
        <li><div className="stack"><h3>Start an agent on an instance</h3><p>As user data of an instance, or by hand:</p><Copy label="commands" text={installer(origin, token ?? '<token>')} /><details><summary>With an agent that the image has already</summary><Copy label="settings" text={settings(origin, token ?? '<token>')} /></details><details><summary>Register by hand, to try it</summary><Copy label="request" text={register(origin, token ?? '<token>')} /></details></div></li>
      </ol>
    </Panel>
  )
}

/** RoleTemplate is the CloudFormation template of the role, shown when it is asked for. */
function RoleTemplate({ id }: { id: string }) {
  const [shown, setShown] = useState(false)
  const account = useQuery({ ...q.clientAccount(id), enabled: shown })
  if (!shown) return <div><button onClick={() => setShown(true)}>Show the template</button></div>
  return (
    <Show of={account} what="the template">{(a) => (
      <div className="stack">
        <Copy label="template" text={JSON.stringify(a.template, null, 2)} />
        <details><summary>With Terraform</summary><Copy label="module" text={terraform(a)} /></details>
        <p className="muted">aws cloudformation deploy --template-file role.json --stack-name spotkeeper-role --capabilities CAPABILITY_NAMED_IAM{a.external_id ? ` · external id ${a.external_id}` : ''}</p>
      </div>
    )}</Show>
  )
}

/** Account is where the instances live, and whether Spotkeeper may do there what a failover needs. */
function Account({ c, operator }: { c: Schemas['clientAnswer']; operator: boolean }) {
  const account = useQuery(q.clientAccount(c.id))
  const preflight = useQuery(q.clientPreflight(c.id))
  const where = (a: Schemas['accountSetupAnswer']) => a.own_account ? 'in the account of Spotkeeper' : a.role_arn ? a.role_arn : 'no role is given yet'
  const checks = (p: Schemas['clientPreflightAnswer']) => [
    ...p.regions.flatMap((r) => r.checks.map((x) => ({ ...x, of: r.region }))),
    ...p.troubled.flatMap((a) => a.checks.map((x) => ({ ...x, of: a.logical_agent_id }))),
  ]
  return (
    <Panel title="Role and checks" flush aside={<span className="row">{preflight.data && <Result of={preflight.data.result} />}{operator && account.data && <ChangeRole c={c} a={account.data} />}</span>}>
      <Show of={account} what="the account">{(a) => (
        <dl className="facts">
          <div><dt>Role</dt><dd className="mono">{where(a)}</dd></div>
          <div><dt>Account</dt><dd className="mono">{a.account_id || '–'}</dd></div>
          <div><dt>External id</dt><dd className="mono">{a.external_id || '–'}</dd></div>
          <div><dt>Known by an agent's word alone</dt><dd>{plural(a.unproven, 'instance')}</dd></div>
        </dl>
      )}</Show>
      <Show of={preflight} what="the checks">{(p) => (
        <>
          <p className="pad muted">{[[p.agents.ok, 'could be replaced now'], [p.agents.warning, 'with a lack'], [p.agents.failed, 'could not'], [p.agents.unknown, 'not known'], [p.agents.unchecked, 'not checked yet']].filter(([n], i) => i === 0 || Number(n) > 0).map(([n, what]) => `${plural(Number(n), 'agent')} ${what}`).join(', ')}.</p>
          <Checks list={checks(p)} empty={<Empty title="Nothing is wrong."><span>Image, network, role and quota of each agent are tried every few hours, without launching anything.</span></Empty>} />
        </>
      )}</Show>
    </Panel>
  )
}

function ChangeRole({ c, a }: { c: Schemas['clientAnswer']; a: Schemas['accountSetupAnswer'] }) {
  const client = useQueryClient()
  const say = useSay()
  const [role, setRole] = useState(a.role_arn), [own, setOwn] = useState(a.own_account)
  return (
    <Ask needs="changeClientAccount" trigger={<button>Change …</button>} title={`Where do the instances of ${c.name} live?`} confirm="Save" ready={own || role.trim() !== ''}
      act={async () => {
        await ask(api.PUT('/api/admin/clients/{client_id}/account', { params: { path: { client_id: c.id } }, body: own ? { own_account: true } : { role_arn: role.trim() } }))
        await refresh(client, { queryKey: ['clients', c.id] })
        say('The account is saved. It is tried within minutes.')
      }}>
      <label className="check"><input type="checkbox" checked={own} onChange={(e) => setOwn(e.target.checked)} />In the account of Spotkeeper itself</label>
      {!own && <label className="field">Role<input value={role} onChange={(e) => setRole(e.target.value)} placeholder="arn:aws:iam::123456789012:role/spotkeeper-tenant" autoComplete="off" /></label>}
      <p>{own ? 'Each instance must be tagged spotkeeper:client with the id of this client.' : 'The control plane assumes the role at once, and refuses one that it cannot assume.'}</p>
    </Ask>
  )
}

const limitNames = { agents: 'Agents', open_replicas: 'Standbys at once', launches_per_hour: 'Launches in an hour' } as const
type Limit = keyof typeof limitNames

function Limits({ c, operator }: { c: Schemas['clientAnswer']; operator: boolean }) {
  const limits = useQuery(q.clientLimits(c.id))
  return (
    <Panel title="Limits" flush aside={operator && limits.data && <ChangeLimits c={c} l={limits.data} />}>
      <Show of={limits} what="the limits">{(l) => (
        <DataTable label="Limits" rows={(Object.keys(limitNames) as Limit[]).map((k) => ({ k, ...l[k] }))} rowKey={(x) => x.k} sortable={false} empty={null}
          columns={[
            { key: 'what', title: 'Of', value: (x) => limitNames[x.k] },
            { key: 'used', title: 'Has', numeric: true, value: (x) => x.used, cell: (x) => <span className={x.used >= x.limit ? 'bad-text' : ''}>{count(x.used)}</span> },
            { key: 'limit', title: 'May have', numeric: true, value: (x) => x.limit, cell: (x) => count(x.limit) },
          ]} />
      )}</Show>
    </Panel>
  )
}

function ChangeLimits({ c, l }: { c: Schemas['clientAnswer']; l: Schemas['limitsAnswer'] }) {
  const client = useQueryClient()
  const say = useSay()
  const [draft, setDraft] = useState<Partial<Record<Limit, string>>>({})
  const wanted = (k: Limit) => draft[k] === undefined ? l[k].limit : Number(draft[k])
  const keys = Object.keys(limitNames) as Limit[]
  return (
    <Ask needs="setLimits" trigger={<button>Change …</button>} title={`Change the limits of ${c.name}?`} confirm="Save" ready={keys.some((k) => wanted(k) !== l[k].limit) && keys.every((k) => draft[k] !== '' && Number.isInteger(wanted(k)) && wanted(k) >= 0)}
      act={async () => {
        await ask(api.PUT('/api/admin/clients/{client_id}/limits', { params: { path: { client_id: c.id } }, body: { agents: wanted('agents'), open_replicas: wanted('open_replicas'), launches_per_hour: wanted('launches_per_hour') } }))
        await refresh(client, { queryKey: ['clients', c.id] })
        setDraft({})
        say('The limits are saved.')
      }}>
      <table><thead><tr><th scope="col">Limit</th><th scope="col" className="num">Has</th><th scope="col" className="num">Now</th><th scope="col">Then</th></tr></thead>
        <tbody>{keys.map((k) => <tr key={k}><td>{limitNames[k]}</td><td className="num">{l[k].used}</td><td className="num">{l[k].limit}</td><td><input type="number" min={0} step={1} aria-label={limitNames[k]} value={draft[k] ?? String(l[k].limit)} onChange={(e) => setDraft({ ...draft, [k]: e.target.value })} style={{ width: 110 }} /></td></tr>)}</tbody></table>
    </Ask>
  )
}

function Sinks({ c }: { c: Schemas['clientAnswer'] }) {
  const client = useQueryClient()
  const say = useSay()
  const sinks = useQuery(q.sinks(c.id))
  const [url, setUrl] = useState(''), [severity, setSeverity] = useState('error'), [secret, setSecret] = useState<string | null>(null)
  const path = (sink_id: string) => ({ params: { path: { client_id: c.id, sink_id } } })
  const old = () => refresh(client, { queryKey: ['clients', c.id] })
  return (
    <Panel title="Where its notifications go" flush aside={
      <Ask needs="createSink" trigger={<button>Add a webhook …</button>} title="Add a webhook" confirm="Add" ready={url.startsWith('http')}
        act={async () => { const got = await ask(api.POST('/api/client/{client_id}/sinks', { params: { path: { client_id: c.id } }, body: { kind: 'webhook', url, min_severity: severity as 'error' } })); setSecret(got.secret ?? null); await old(); say('The webhook is added.') }}>
        <label className="field">Address<input type="url" value={url} onChange={(e) => setUrl(e.target.value)} placeholder="https://hooks.example.com/spotkeeper" /></label>
        <label className="field">From<select value={severity} onChange={(e) => setSeverity(e.target.value)}>{severities.map((s) => <option key={s}>{s}</option>)}</select></label>
      </Ask>}>
      {secret && <div style={{ padding: 12 }}><p><strong>The secret of its signatures is shown once:</strong></p><Copy label="secret" text={secret} /></div>}
      <Show of={sinks} what="webhooks">{(d) => (
        <DataTable label="Webhooks" rows={d.sinks} rowKey={(s) => s.id} empty={<Empty title="They are on this page alone."><span>A webhook gets each notification signed, in the form of Standard Webhooks.</span></Empty>}
          columns={[
            { key: 'kind', title: 'Kind', value: (s) => s.kind }, { key: 'url', title: 'Address', value: (s) => s.url }, { key: 'from', title: 'From', value: (s) => s.min_severity },
            { key: 'last', title: 'Last delivery', value: (s) => s.last_delivered_at, cell: (s) => <When at={s.last_delivered_at} /> }, { key: 'state', title: 'State', value: (s) => s.state, cell: (s) => <div><Chip state={s.failures > 0 ? 'failed' : 'ready'} label={s.failures > 0 ? `${s.failures} failed, ${s.pending} wait` : s.state} />{s.last_error && <div className="bad-text">{s.last_error}</div>}</div> },
            { key: 'acts', title: 'Actions', bare: true, value: () => null, cell: (s) => <div className="row"><Allowed to="testSink"><button onClick={() => void ask(api.POST('/api/client/{client_id}/sinks/{sink_id}/test', path(s.id))).then((r) => say(r.message, !r.success), (e: Error) => say(e.message, true)).then(old)}>Test</button></Allowed>
              {s.kind === 'webhook' && <Ask needs="rotateSink" trigger={<button>New secret …</button>} title="Give this webhook a new secret?" confirm="Rotate" act={async () => { const got = await ask(api.POST('/api/client/{client_id}/sinks/{sink_id}/rotate', { ...path(s.id), body: {} })); setSecret(got.secret); say('Deliveries are signed with both secrets for a day.') }}><p>For a day each delivery has two signatures, so that the receiver may be changed in between.</p></Ask>}
              <Ask needs="deleteSink" trigger={<button className="danger">Remove …</button>} title="Send nothing there any more?" confirm="Remove" danger act={async () => { await ask(api.DELETE('/api/client/{client_id}/sinks/{sink_id}', path(s.id))); await old(); say('It is removed.') }}><p>{s.url || s.kind}</p></Ask></div> },
          ]} />
      )}</Show>
    </Panel>
  )
}

function Rotate({ c }: { c: Schemas['clientAnswer'] }) {
  const say = useSay()
  return (
    <Ask needs="regenerateToken" trigger={<button>New token …</button>} title={`Replace the token of ${c.name}?`} confirm="Replace" danger act={async () => { await ask(api.POST('/api/admin/clients/{client_id}/regenerate-token', { params: { path: { client_id: c.id } } })); say('The token is replaced. Show it in step 2.') }}>
      <p>The old one is dead at once: {c.agentsOnline === 1 ? '1 agent is' : `${count(c.agentsOnline)} agents are`} refused until they have the new one.</p>
    </Ask>
  )
}

function Remove({ c }: { c: Schemas['clientAnswer'] }) {
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const [typed, setTyped] = useState('')
  return (
    <Ask needs="removeClient" trigger={<button className="danger">Remove …</button>} title={`Remove ${c.name} with everything that runs for it?`} confirm="Remove" danger ready={typed === c.name}
      act={async () => { const got = await ask(api.POST('/api/admin/clients/{client_id}/remove', { params: { path: { client_id: c.id } }, body: { confirm: typed } })); await refresh(client); say(got.message); void navigate({ to: '/clients' }) }}>
      <p>{c.agentsTotal === 1 ? '1 agent ends' : `${count(c.agentsTotal)} agents end`}, and so does what was launched. This cannot be undone.</p>
      <label className="field">Type {c.name} to confirm<input value={typed} onChange={(e) => setTyped(e.target.value)} autoComplete="off" /></label>
    </Ask>
  )
}
