import { useQueryClient } from '@tanstack/react-query'
import { api, ask, type Schemas } from '../api/client'
import { useSay } from '../app/toasts'
import { Ask } from './Dialog'
import { refresh } from '../api/refresh'

/** Decide is what a person can do about an operation that waits for one. */
export function Decide({ op }: { op: Pick<Schemas['operationAnswer'], 'asks' | 'instance_id' | 'new_instance_id'> }) {
  const client = useQueryClient()
  const say = useSay()
  if (op.asks !== 'left_over') return null
  const decide = (action: 'end' | 'keep') => async () => {
    await ask(api.POST('/api/client/instances/{instance_id}/left-over', { params: { path: { instance_id: op.instance_id } }, body: { action } }))
    await refresh(client)
    say(action === 'end' ? `${op.instance_id} is ended.` : `${op.instance_id} is kept, and is yours to end.`)
  }
  return (
    <span className="row">
      <Ask needs="decideLeftOver" trigger={<button className="danger">End it …</button>} title={`End ${op.instance_id}?`} confirm="End it" danger act={decide('end')}>
        <p>The instance is terminated, and its disk goes with it unless it is kept by its own settings. {op.new_instance_id && `${op.new_instance_id} leads already.`}</p>
      </Ask>
      <Ask needs="decideLeftOver" trigger={<button>Keep it …</button>} title={`Keep ${op.instance_id}?`} confirm="Keep it" act={decide('keep')}>
        <p>It runs on and is paid, no agent's part is played on it any more, and Spotkeeper does not end it.</p>
      </Ask>
    </span>
  )
}
