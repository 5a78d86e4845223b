import { useQueryClient, type QueryClient } from '@tanstack/react-query'
import { createContext, useContext, useEffect, useReducer, useRef, useState, type ReactNode } from 'react'
import { otherTabs } from '../api/client'
import { backoff, initial, keysOf, Parser, reduce, silentFor, type Heard, type StreamState, type Told } from '../api/stream'
import { duration } from '../lib/format'
import { useNow } from '../ui/time'
import { refresh } from '../api/refresh'

interface Live extends StreamState {
  paused: boolean
  setPaused: (p: boolean) => void
}

const Context = createContext<Live>({ ...initial, paused: false, setPaused: () => {} })

export const useLive = () => useContext(Context)

/** usePolling is an interval for a query that is read more often than others; false while a reader holds the page still. */
export const usePolling = (ms: number): number | false => (useContext(Context).paused ? false : ms)

/** pollEvery is how often queries are read again while the stream does not stand. */
export const pollEvery = 15_000

/**
 * LiveProvider holds the one stream of events. An event changes nothing on a page: it only makes queries old, which are
 * then read again. A reader that has paused hears nothing, and neither does a poll.
 */
export function LiveProvider({ path, children }: { path: string; children: ReactNode }) {
  const client = useQueryClient()
  const [state, dispatch] = useReducer(reduce, initial)
  const [paused, setPaused] = useState(false)
  const lastId = useRef('')
  lastId.current = state.lastId
  useEffect(() => {
    if (paused) return
    let ended = false
    let stop = new AbortController()
    let again: ReturnType<typeof setTimeout> | undefined
    let attempt = 0
    const old = new Batch(client)
    const hear = (e: Heard) => {
      if (!['operation', 'notice', 'roles'].includes(e.type)) return
      dispatch({ type: 'event', id: e.id })
      old.add(keysOf(JSON.parse(e.data) as Told))
    }
    const opened = () => {
      if (attempt > 0) void client.invalidateQueries()
      attempt = 0
      dispatch({ type: 'opened' })
    }
    const run = async () => {
      stop = new AbortController()
      const after = lastId.current ? '?after=' + encodeURIComponent(lastId.current) : ''
      await follow(path + after, stop, opened, hear).catch(() => {}) // why it ended changes nothing: it is lost
      if (ended) return
      dispatch({ type: 'lost', at: Date.now() })
      again = setTimeout(() => void run(), backoff(attempt++))
    }
    void run()
    return () => {
      ended = true
      stop.abort()
      clearTimeout(again)
      old.stop()
    }
  }, [path, paused, client])
  useEffect(() => {
    if (paused || !otherTabs) return
    const changed = () => void refresh(client)
    otherTabs.addEventListener('message', changed)
    return () => otherTabs?.removeEventListener('message', changed)
  }, [paused, client])
  return <Context value={{ ...state, paused, setPaused }}>{children}</Context>
}

/** follow reads a stream until it ends, fails, is stopped or has said nothing for too long. */
async function follow(address: string, stop: AbortController, opened: () => void, hear: (e: Heard) => void): Promise<void> {
  let silence = setTimeout(() => stop.abort(), silentFor)
  try {
    const answer = await fetch(address, { headers: { Accept: 'text/event-stream' }, cache: 'no-store', signal: stop.signal })
    if (!answer.ok || !answer.body) throw new Error(`the stream was refused: ${answer.status}`)
    opened()
    const reader = answer.body.getReader(), text = new TextDecoder(), parser = new Parser()
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      clearTimeout(silence)
      silence = setTimeout(() => stop.abort(), silentFor)
      parser.push(text.decode(value, { stream: true })).forEach(hear)
    }
  } finally {
    clearTimeout(silence)
    stop.abort() // a failure of this page must not leave the request open
  }
}

/** Batch makes queries old a moment after the first event of a burst, each once. */
class Batch {
  private keys = new Map<string, string[]>()
  private timer: ReturnType<typeof setTimeout> | undefined
  constructor(private client: QueryClient) {}
  add(keys: string[][]) {
    for (const k of keys) this.keys.set(k.join('\u0000'), k)
    this.timer ??= setTimeout(() => {
      this.timer = undefined
      const keys = [...this.keys.values()]
      this.keys.clear()
      for (const queryKey of keys) void this.client.invalidateQueries({ queryKey })
    }, 250)
  }
  stop() {
    clearTimeout(this.timer)
  }
}

/** LinkState says whether what is shown is live, and lets a reader hold it still. */
export function LinkState() {
  const live = useLive()
  const [tone, icon, text] = live.paused ? ['idle', '‖', 'held still'] as const
    : live.link === 'live' ? ['good', '●', 'live'] as const
    : live.link === 'lost' ? ['bad', '✕', 'connection lost'] as const : ['info', '◔', 'connecting'] as const
  return (
    <>
      <span className={`chip ${tone}`} data-link={live.paused ? 'paused' : live.link}><span aria-hidden="true">{icon}</span>{text}</span>
      <button className="plain" onClick={() => live.setPaused(!live.paused)}>{live.paused ? 'Go on' : 'Hold still'}</button>
    </>
  )
}

/** StaleBar tells at the top of every page that what it shows may be old. */
export function StaleBar() {
  const live = useLive()
  const now = useNow()
  const lost = !live.paused && live.link === 'lost' && live.lostAt != null
  return (
    <div role="status" aria-live="polite">
      {lost && (
        <div className="stale">
          Connection lost {duration(Math.max(1000, now - live.lostAt!))} ago: what you see may be old. It is read again every 15 seconds, and at once when the connection is back.
        </div>
      )}
    </div>
  )
}
