/** What the operators' stream says, and which queries become old by it. Pure, so that tests need no browser. */

export type Link = 'connecting' | 'live' | 'lost'

export interface StreamState {
  link: Link
  /** when the connection was lost; null while it stands */
  lostAt: number | null
  /** id of the last event seen: what happened since is told first after a reconnection */
  lastId: string
  events: number
}

export type StreamAction =
  | { type: 'opened' }
  | { type: 'lost'; at: number }
  | { type: 'event'; id: string }

export const initial: StreamState = { link: 'connecting', lostAt: null, lastId: '', events: 0 }

export function reduce(s: StreamState, a: StreamAction): StreamState {
  switch (a.type) {
    case 'opened':
      return { ...s, link: 'live', lostAt: null }
    case 'lost':
      return s.link === 'lost' ? s : { ...s, link: 'lost', lostAt: a.at }
    case 'event':
      return { ...s, link: 'live', lostAt: null, lastId: a.id || s.lastId, events: s.events + 1 }
  }
}

export interface Told {
  type: string
  at: string
  data: { id?: string; agent_id?: string; kind?: string; state?: string; operation_id?: string }
}

/** keysOf lists the beginnings of the query keys that an event makes old. */
export function keysOf(e: Told): string[][] {
  const keys: string[][] = [['overview'], ['activity']]
  const agent = e.data.agent_id
  if (agent) keys.push(['agent', agent])
  switch (e.type) {
    case 'operation':
      keys.push(['operations'], ['notices'], ['fleet'], ['approvals'])
      if (e.data.id) keys.push(['operation', e.data.id])
      break
    case 'notice':
      keys.push(['notices'], ['fleet'], ['operation'], ['failovers'])
      break
    case 'roles':
      keys.push(['fleet'], ['notices'], ['failovers'])
      if (e.data.operation_id) keys.push(['operation', e.data.operation_id])
      break
  }
  return keys
}

/** backoff is how long to wait before the n-th new connection, in milliseconds: 1 s, doubled, 15 s at most. */
export function backoff(attempt: number): number {
  return Math.min(15_000, 1000 * 2 ** Math.min(attempt, 4))
}

/** silentFor is how long a stream may say nothing before it counts as lost, in milliseconds. The server says every 15 s that it stands. */
export const silentFor = 40_000

export interface Heard { type: string; id: string; data: string }

/**
 * Parser reads server-sent events out of the pieces in which a stream arrives. An EventSource would hide the comments by
 * which the server says that the stream stands, and so never notice a connection that ended without a word.
 */
export class Parser {
  private rest = ''
  private now = { type: '', id: '', data: [] as string[] }

  /** push takes the next piece, and answers the events that are complete with it. */
  push(piece: string): Heard[] {
    const out: Heard[] = []
    const lines = (this.rest + piece).split('\n')
    this.rest = lines.pop()!
    for (const whole of lines) {
      const line = whole.endsWith('\r') ? whole.slice(0, -1) : whole
      if (line === '') {
        if (this.now.data.length > 0) out.push({ ...this.now, data: this.now.data.join('\n') })
        this.now = { type: '', id: '', data: [] }
        continue
      }
      const at = line.indexOf(':')
      if (at === 0) continue // a comment
      const name = at < 0 ? line : line.slice(0, at)
      const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '')
      if (name === 'event') this.now.type = value
      else if (name === 'id') this.now.id = value
      else if (name === 'data') this.now.data.push(value)
    }
    return out
  }
}
