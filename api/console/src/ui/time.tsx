import { useSyncExternalStore } from 'react'
import { countdown, exact, none, parse, relative } from '../lib/format'

// One timer serves every moment that the page shows.
let now = Date.now()
const listeners = new Set<() => void>()
let timer: ReturnType<typeof setInterval> | undefined

function subscribe(listen: () => void): () => void {
  listeners.add(listen)
  timer ??= setInterval(() => {
    now = Date.now()
    listeners.forEach((l) => l())
  }, 1000)
  return () => {
    listeners.delete(listen)
    if (listeners.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
  }
}

/** useNow is the time, to the second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}

/** When shows how long ago a moment is, with the exact one on hover and to screen readers. */
export function When({ at }: { at: string | null | undefined }) {
  const t = useNow()
  const ms = parse(at)
  if (ms == null) return <span className="muted">{none}</span>
  return <time className="nowrap" dateTime={at!} title={exact(ms)}>{relative(ms, Math.max(t, now))}</time>
}

export function Countdown({ to, label }: { to: string; label: string }) {
  const t = useNow()
  const left = (parse(to) ?? t) - t
  return (
    <span role="timer" aria-label={label} className={'mono nowrap ' + (left < 30_000 ? 'bad-text' : left < 60_000 ? 'warn-text' : '')}>
      <strong>{countdown(left)}</strong>
    </span>
  )
}
