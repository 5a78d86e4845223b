import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from 'react'

interface Toast { id: number; text: ReactNode; bad?: boolean }

const Context = createContext<(text: ReactNode, bad?: boolean) => void>(() => {})

/** useSay shows a short message: what was done, with a link to what it started. */
export const useSay = () => useContext(Context)

export function Toasts({ children }: { children: ReactNode }) {
  const [list, setList] = useState<Toast[]>([])
  const drop = useCallback((id: number) => setList((l) => l.filter((t) => t.id !== id)), [])
  const say = useCallback((text: ReactNode, bad?: boolean) => {
    const id = Date.now() + Math.random()
    setList((l) => [...l.slice(-3), { id, text, bad }])
    setTimeout(() => drop(id), 12_000)
  }, [drop])
  const shown = useMemo(() => list, [list])
  return (
    <Context value={say}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {shown.map((t) => (
          <div key={t.id} className={'toast' + (t.bad ? ' bad' : '')}>
            <div>{t.text}</div>
            <button className="plain" aria-label="Dismiss" onClick={() => drop(t.id)}>✕</button>
          </div>
        ))}
      </div>
    </Context>
  )
}
