import { useQueryClient } from '@tanstack/react-query'
import { api, ask, type Schemas } from '../api/client'
import { useSay } from '../app/toasts'
import { Ask } from './Dialog'
import { OperationLink } from './links'
import { refresh } from '../api/refresh'

/** CallOff ends an operation that is not past its point of no return. */
export function CallOff({ op }: { op: Pick<Schemas['operationAnswer'], 'id' | 'summary'> }) {
  const client = useQueryClient()
  const say = useSay()
  return (
    <Ask needs="cancelOperation" trigger={<button className="danger">Call off …</button>} title="Call this operation off?" confirm="Call off" danger
      act={async () => {
        await ask(api.POST('/api/operations/{operation_id}/cancel', { params: { path: { operation_id: op.id } } }))
        await refresh(client)
        say(<>It was asked to end. What it launched is ended too. <OperationLink id={op.id}>Watch it</OperationLink></>)
      }}>
      <p>{op.summary.replace(/\.$/, '')}. What it has launched is ended. Past its point of no return it goes on, and says so.</p>
    </Ask>
  )
}
