import { useNavigate, useRouterState } from '@tanstack/react-router'
import { useCallback } from 'react'

type Change = Record<string, string | undefined>

/**
 * useAddress reads and writes what a page filters by, in its address. An empty value takes a member away. A choice is a step that the
 * browser's back button undoes; text that is typed replaces the text before it.
 */
export function useAddress(): [Change, (change: Change) => void] {
  const search = useRouterState({ select: (s) => s.location.search }) as Record<string, string | undefined>
  const navigate = useNavigate()
  const typed = search.q
  const set = useCallback((change: Change) => {
    const replace = Boolean(typed && change.q)
    void navigate({ to: '.', search: ((old: Change) => ({ ...old, ...change })) as never, replace, resetScroll: false })
  }, [navigate, typed])
  return [search, set]
}

export function useId(): string {
  const path = useRouterState({ select: (s) => s.matches.at(-1)?.params as { id?: string } | undefined })
  return path?.id ?? ''
}
