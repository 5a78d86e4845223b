import { useQueryClient } from '@tanstack/react-query'
import { api, ask, type Schemas } from '../api/client'
import { useSay } from '../app/toasts'
import { boughtAs } from '../lib/glossary'
import { refresh } from '../api/refresh'
import { Ask } from './Dialog'
import { named, withIds } from './links'

/** AnswerMove approves or rejects a voluntary move that waits for an answer. */
export function AnswerMove({ a }: { a: Schemas['approvalItem'] }) {
  const client = useQueryClient()
  const say = useSay()
  const path = { params: { path: { approval_id: a.id } } }
  const old = async () => {
    for (const key of ['approvals', 'overview', 'operations']) await refresh(client, { queryKey: [key] })
    await refresh(client, { queryKey: ['agent', a.agent_id] })
  }
  const to = a.target_pool_id ?? boughtAs(a.target_mode)
  const what = <p>{a.agent_name} leaves <span className="mono">{a.instance_id}</span> for <span className="mono">{to}</span>: {withIds(named(a.reason, a.agent_id, a.agent_name))}</p>
  return (
    <div className="row" style={{ flexWrap: 'nowrap' }}>
      <Ask needs="approveMove" trigger={<button aria-label={`Approve the move of ${a.agent_name}`}>Approve …</button>} title={`Let ${a.agent_name} move to ${to}?`} confirm="Approve"
        act={async () => { const got = await ask(api.POST('/api/approvals/{approval_id}/approve', path)); await old(); say(got.note ?? `${a.agent_name} may move.`) }}>
        {what}
        <p>The new instance is launched first, and for a while both are paid. {a.kind === 'requested' ? 'The program that wants it asks for it again.' : 'It is not made when it is not worth it any more.'}</p>
      </Ask>
      <Ask needs="rejectMove" trigger={<button aria-label={`Reject the move of ${a.agent_name}`}>Reject …</button>} title={`Keep ${a.agent_name} where it is?`} confirm="Reject"
        act={async () => { await ask(api.POST('/api/approvals/{approval_id}/reject', path)); await old(); say(`${a.agent_name} stays.`) }}>
        {what}
        <p>The agent stays on its instance. A failover after a notice is made all the same.</p>
      </Ask>
    </div>
  )
}
