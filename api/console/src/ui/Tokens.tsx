import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { Copy } from './Copy'
import { DataTable } from './DataTable'
import { Ask } from './Dialog'
import { Chip, Empty, Panel, Show } from './parts'
import { When } from './time'
import { refresh } from '../api/refresh'

const kinds = { 'tenant read': 'Look at everything', 'tenant operate': 'Look, move and pause', 'tenant admin': 'Do all that the client may', 'enrolment': 'Let one agent join, within an hour' } as const
type Kind = keyof typeof kinds

/** Tokens of people, programs and joining agents. A token is shown once, when it is made. */
export function Tokens({ clientId }: { clientId: string }) {
  const client = useQueryClient()
  const say = useSay()
  const list = useQuery(q.credentials(clientId))
  const [name, setName] = useState(''), [kind, setKind] = useState<Kind>('tenant read'), [made, setMade] = useState<{ token: string; kind: string } | null>(null)
  const old = () => refresh(client, { queryKey: ['clients', clientId, 'credentials'] })
  const create = async () => {
    const [what, scope] = kind.split(' ')
    const body = what === 'enrolment' ? { kind: 'enrolment' as const, name, ttl_seconds: 3600 } : { kind: 'tenant' as const, name, scope: scope as 'read' }
    const got = await ask(api.POST('/api/client/{client_id}/credentials', { params: { path: { client_id: clientId } }, body }))
    setMade({ token: got.token, kind: got.kind })
    setName('')
    await old()
  }
  return (
    <Panel title="Tokens" flush aside={
      <Ask needs="createCredential" trigger={<button>Make a token …</button>} title="Make a token" confirm="Make it" ready={name.trim() !== ''} act={create}>
        <label className="field">Name<input value={name} onChange={(e) => setName(e.target.value)} maxLength={100} autoComplete="off" /></label>
        <label className="field">It may<select value={kind} onChange={(e) => setKind(e.target.value as Kind)}>{Object.entries(kinds).map(([k, text]) => <option key={k} value={k}>{text}</option>)}</select></label>
      </Ask>}>
      {made && (
        <div className="stack" style={{ padding: 12 }}>
          <p><strong>The token is shown once:</strong></p><Copy label="token" text={made.token} />
          {made.kind === 'tenant' && <><p>Who opens this link is logged in to the console with it:</p><Copy label="link" text={`${window.location.origin}/login#token=${made.token}`} /></>}
        </div>
      )}
      <Show of={list} what="tokens">{(d) => (
        <DataTable label="Tokens" rows={d.credentials} rowKey={(k) => k.id} empty={<Empty title="There are none yet."><span>A person logs in with a token that may look, operate or do all; a program sends one.</span></Empty>}
          columns={[
            { key: 'name', title: 'Name', value: (k) => k.name || k.agent_id || '–' }, { key: 'kind', title: 'For', value: (k) => [k.kind, k.scope].filter(Boolean).join(', ') },
            { key: 'state', title: 'State', value: (k) => k.state, cell: (k) => <Chip state={k.state === 'good' ? 'ready' : 'disabled'} label={k.state.replace('_', ' ')} /> },
            { key: 'used', title: 'Last used', value: (k) => k.last_used_at, cell: (k) => <When at={k.last_used_at} /> }, { key: 'expires', title: 'Expires', value: (k) => k.expires_at, cell: (k) => k.expires_at ? <When at={k.expires_at} /> : <span>never</span> },
            { key: 'acts', title: 'Actions', bare: true, value: () => null, cell: (k) => k.state === 'good' && (
              <Ask needs="revokeCredential" trigger={<button className="danger">Revoke …</button>} title={`Revoke ${k.name || 'this token'}?`} confirm="Revoke" danger act={async () => { await ask(api.DELETE('/api/client/{client_id}/credentials/{credential_id}', { params: { path: { client_id: clientId, credential_id: k.id } } })); await old(); say('It is revoked.') }}>
                <p>It is dead at once, and so are the sessions that were begun with it.</p>
              </Ask>
            ) },
          ]} />
      )}</Show>
    </Panel>
  )
}
