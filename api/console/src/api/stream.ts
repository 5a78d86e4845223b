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
      keys.push(['operations'], ['notices'], ['fleet'])
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
