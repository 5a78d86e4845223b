import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask } from '../api/client'
import { useSay } from '../app/toasts'
import { money } from '../lib/format'
import { boughtAs } from '../lib/glossary'
import { Ask } from './Dialog'
import { OperationLink } from './links'
import { refresh } from '../api/refresh'

interface Props {
  name: string
  primary: { id: string; pool: string; mode: string }
  /** the main action of the page */
  main?: boolean
}

/** SwitchAgent moves an agent to a place that a person chooses. The places are read when the dialog opens. */
export function SwitchAgent({ name, primary, main }: Props) {
  const client = useQueryClient()
  const say = useSay()
  const [open, setOpen] = useState(false)
  const [target, setTarget] = useState('')
  const options = useQuery({
    queryKey: ['options', primary.id], enabled: open, refetchInterval: false,
    queryFn: () => ask(api.GET('/api/client/instances/{instance_id}/available-options', { params: { path: { instance_id: primary.id } } })),
  })
  const pools = (options.data?.availablePools ?? []).filter((p) => p.id !== primary.pool || primary.mode !== 'spot')
  const chosen = pools.find((p) => p.id === target)
  return (
    <Ask needs="forceSwitch" trigger={<button className={main ? 'primary' : ''} aria-label={main ? undefined : `Switch ${name} …`}>Switch …</button>} title={`Move ${name} to another place?`} confirm="Move it" ready={target !== ''}
      open={open} onOpenChange={(to) => { setOpen(to); if (!to) setTarget('') }}
      act={async () => {
        const body = target === 'ondemand' ? { target: 'ondemand' as const } : { target: 'pool' as const, pool_id: target }
        const got = await ask(api.POST('/api/client/instances/{instance_id}/force-switch', { params: { path: { instance_id: primary.id } }, body }))
        await refresh(client)
        say(<>The move of {name} has begun. {got.operation_id && <OperationLink id={got.operation_id}>Watch it</OperationLink>}</>)
      }}>
      <label className="field">To
        <select value={target} onChange={(e) => setTarget(e.target.value)} required>
          <option value="">{options.isPending ? 'reading the places …' : 'choose a place'}</option>
          {pools.map((p) => <option key={p.id} value={p.id}>{p.id}{p.price != null ? `, ${money(p.price)}/h` : ''}</option>)}
          {primary.mode !== 'ondemand' && <option value="ondemand">on demand</option>}
        </select>
      </label>
      {options.error && <p className="bad-text">The places could not be read: {options.error.message}</p>}
      <p>It leaves {primary.pool} ({boughtAs(primary.mode)}){target && <> for {chosen?.id ?? 'on demand'}{chosen?.price != null && <> at {money(chosen.price)}/h</>}</>}. A new instance is launched and takes over when it is ready; for that time both are paid. The limits on moves are not asked.</p>
    </Ask>
  )
}
