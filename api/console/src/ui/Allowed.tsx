import { useQuery } from '@tanstack/react-query'
import { cloneElement, useId, type ReactElement } from 'react'
import * as q from '../api/queries'
import { refusal } from '../lib/permission'

/** useRefusal says why the user may not ask for an operation of the API, or null when it may. */
export function useRefusal(operation: string | undefined): string | null {
  const who = useQuery(q.session)
  return operation && who.data ? refusal(who.data, operation) : null
}

/** Allowed shows a button that is for some users only: to the others it is disabled, and says why. */
export function Allowed({ to, children }: { to: string; children: ReactElement<{ disabled?: boolean; 'aria-describedby'?: string }> }) {
  const why = useRefusal(to)
  const id = useId()
  if (why === null) return children
  return (
    <span title={why} data-refused={to}>
      {cloneElement(children, { disabled: true, 'aria-describedby': id })}
      <span id={id} className="hidden">{why}</span>
    </span>
  )
}
