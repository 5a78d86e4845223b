import { useEffect, type ReactNode } from 'react'
import { Refused } from '../api/client'
import { words } from '../lib/format'

export type Tone = 'good' | 'warn' | 'bad' | 'info' | 'idle'

const tones: Record<string, [Tone, string]> = {
  online: ['good', '●'], ready: ['good', '✓'], succeeded: ['good', '✓'], promoted: ['good', '✓'], done: ['good', '✓'], live: ['good', '✓'], active: ['good', '✓'],
  running: ['info', '◔'], requested: ['info', '◔'], launching: ['info', '◔'], started: ['info', '◔'], open: ['info', '◔'], switching: ['info', '⇄'], pending: ['info', '◔'],
  offline: ['bad', '✕'], failed: ['bad', '✕'], lost: ['bad', '✕'], error: ['bad', '✕'], critical: ['bad', '!'], 'termination-notice': ['bad', '!'],
  warning: ['warn', '!'], 'rebalance-recommendation': ['warn', '!'], paused: ['warn', '‖'], degraded: ['warn', '!'], dropped: ['warn', '–'],
  spot: ['info', '◇'], ondemand: ['idle', '■'], cancelled: ['idle', '–'], stood_down: ['idle', '–'], not_primary: ['idle', '–'], disabled: ['idle', '–'],
}

/** Chip shows a state as an icon and a word: never by its colour alone. */
export function Chip({ state, label, tone }: { state: string; label?: string; tone?: Tone }) {
  const [own, icon] = tones[state] ?? ['idle', '·']
  return (
    <span className={`chip ${tone ?? own}`}>
      <span aria-hidden="true" className={icon === '◔' ? 'turn' : ''}>{icon}</span>
      {label ?? words(state)}
    </span>
  )
}

export function Panel({ title, aside, children, flush }: { title: string; aside?: ReactNode; children: ReactNode; flush?: boolean }) {
  const id = 'panel-' + title.toLowerCase().replace(/[^a-z0-9]+/g, '-')
  return (
    <section className="panel" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside}
      </header>
      <div className={flush ? 'body flush' : 'body'}>{children}</div>
    </section>
  )
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children}
    </div>
  )
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const refused = error instanceof Refused ? error : null
  return (
    <div className="problem" role="alert">
      <strong>{refused?.message ?? 'Something went wrong in this page.'}</strong>
      <div className="row">
        {refused && <span className="muted">Code <a href="/docs" className="mono">{refused.code}</a></span>}
        {refused && Object.entries(refused.details).map(([field, what]) => <span key={field}>{field}: {what.join(' ')}</span>)}
        {retry && <button onClick={retry}>Try again</button>}
      </div>
    </div>
  )
}

export function Head({ title, crumb, children, lead }: { title: string; crumb?: ReactNode; children?: ReactNode; lead?: ReactNode }) {
  useEffect(() => {
    document.title = title + ' · Spotkeeper' // each tab of the browser says what it shows
  }, [title])
  return (
    <div className="head">
      <div className="what">
        {crumb && <div className="crumb">{crumb}</div>}
        <h1 tabIndex={-1}><bdi>{title}</bdi></h1>
        {lead && <div className="muted">{lead}</div>}
      </div>
      <div className="row">{children}</div>
    </div>
  )
}

export function Loading({ what }: { what: string }) {
  return <div className="empty" role="status">Reading {what} …</div>
}

interface Answer<T> {
  data: T | undefined
  error: unknown
  isPending: boolean
  refetch: () => unknown
}

/** Show waits for an answer, shows its failure, and keeps showing old data while it is read anew. */
export function Show<T>({ of, what, children }: { of: Answer<T>; what: string; children: (data: T) => ReactNode }) {
  if (of.data !== undefined) {
    return (
      <>
        {of.error ? <Problem error={of.error} retry={() => void of.refetch()} /> : null}
        {children(of.data)}
      </>
    )
  }
  if (of.error) return <Problem error={of.error} retry={() => void of.refetch()} />
  return <Loading what={what} />
}

export function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  URL.revokeObjectURL(url)
}

export function Figure({ n, k, tone, to }: { n: ReactNode; k: ReactNode; tone?: 'bad' | 'warn'; to?: string }) {
  const inner = <><span className="n">{n}</span><span className="k">{k}</span></>
  const cls = 'figure ' + (tone ?? '')
  return to ? <a className={cls} href={to}>{inner}</a> : <div className={cls}>{inner}</div>
}
