import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useState } from 'react'
import { api, ask } from '../api/client'
import * as q from '../api/queries'
import { useSay } from '../app/toasts'
import { money } from '../lib/format'
import { DataTable } from '../ui/DataTable'
import { Ask } from '../ui/Dialog'
import { ClientLink } from '../ui/links'
import { Chip, Empty, Head, Panel, Show } from '../ui/parts'
import { When } from '../ui/time'
import { refresh } from '../api/refresh'

export default function Clients() {
  const clients = useQuery(q.clients)
  return (
    <>
      <Head title="Clients" lead="Tenants with their agents."><Create /></Head>
      <Panel title="All clients" flush>
        <Show of={clients} what="clients">{(list) => (
          <DataTable label="Clients" rows={list} rowKey={(c) => c.id} csvName="clients" empty={<Empty title="There is no client yet."><span>A client is an account whose agents share a token. Create one, and its page shows the three steps to the first agent.</span></Empty>}
            columns={[
              { key: 'name', title: 'Client', value: (c) => c.name, cell: (c) => <ClientLink id={c.id} name={c.name} /> }, { key: 'state', title: 'State', value: (c) => c.status, cell: (c) => <Chip state={c.status} /> },
              { key: 'online', title: 'Agents online', numeric: true, value: (c) => c.agentsOnline }, { key: 'total', title: 'Agents', numeric: true, value: (c) => c.agentsTotal }, { key: 'inst', title: 'Instances', numeric: true, value: (c) => c.instances },
              { key: 'saved', title: 'Saved in all', numeric: true, value: (c) => c.totalSavings, cell: (c) => money(c.totalSavings) }, { key: 'heard', title: 'Heard from', value: (c) => c.lastSync, cell: (c) => <When at={c.lastSync} /> },
            ]} />
        )}</Show>
      </Panel>
    </>
  )
}

function Create() {
  const client = useQueryClient()
  const navigate = useNavigate()
  const say = useSay()
  const [name, setName] = useState(''), [role, setRole] = useState('')
  return (
    <Ask needs="createClient" trigger={<button className="primary">Create a client …</button>} title="Create a client" confirm="Create" ready={name.trim() !== ''}
      act={async () => {
        const got = await ask(api.POST('/api/admin/clients/create', { body: { name: name.trim(), ...(role ? { role_arn: role } : {}) } }))
        await refresh(client, { queryKey: ['clients'] })
        say(`${got.client.name} is created. Three steps lead to its first agent.`)
        void navigate({ to: '/clients/$id', params: { id: got.client.id } })
      }}>
      <label className="field">Name<input value={name} onChange={(e) => setName(e.target.value)} maxLength={255} autoComplete="off" /></label>
      <label className="field">Role in its AWS account, when that is another one<input value={role} onChange={(e) => setRole(e.target.value)} placeholder="arn:aws:iam::123456789012:role/spotkeeper-control" autoComplete="off" /></label>
    </Ask>
  )
}
