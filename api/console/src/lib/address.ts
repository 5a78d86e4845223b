import { useNavigate, useRouterState } from '@tanstack/react-router'
import { useCallback } from 'react'

/** useAddress reads and writes what a page filters by, in its address. An empty value takes a member away. */
export function useAddress(): [Record<string, string | undefined>, (change: Record<string, string | undefined>) => void] {
  const search = useRouterState({ select: (s) => s.location.search }) as Record<string, string | undefined>
  const navigate = useNavigate()
  const set = useCallback((change: Record<string, string | undefined>) => {
    void navigate({ to: '.', search: ((old: Record<string, string | undefined>) => ({ ...old, ...change })) as never, replace: true })
  }, [navigate])
  return [search, set]
}

export function useId(): string {
  const path = useRouterState({ select: (s) => s.matches.at(-1)?.params as { id?: string } | undefined })
  return path?.id ?? ''
}
