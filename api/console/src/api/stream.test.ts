import { describe, expect, it } from 'vitest'
import { backoff, initial, keysOf, reduce } from './stream'

describe('the stream', () => {
  it('keeps when the connection was lost first, and forgets it when it is back', () => {
    const lost = reduce(reduce(initial, { type: 'lost', at: 5 }), { type: 'lost', at: 9 })
    expect(lost).toMatchObject({ link: 'lost', lostAt: 5 })
    expect(reduce(lost, { type: 'opened' })).toMatchObject({ link: 'live', lostAt: null })
  })

  it('goes on from the last id it saw', () => {
    const s = reduce(reduce(initial, { type: 'event', id: '17' }), { type: 'event', id: '' })
    expect(s).toMatchObject({ lastId: '17', events: 2, link: 'live' })
  })

  it('makes old what an event is about', () => {
    const keys = keysOf({ type: 'operation', at: '', data: { id: 'switch/1', agent_id: 'a1' } })
    expect(keys).toContainEqual(['operation', 'switch/1'])
    expect(keys).toContainEqual(['agent', 'a1'])
    expect(keys).toContainEqual(['overview'])
    expect(keysOf({ type: 'notice', at: '', data: {} })).toContainEqual(['notices'])
    expect(keysOf({ type: 'unheard', at: '', data: {} })).toEqual([['overview'], ['activity']])
  })

  it('waits longer after each failure, and fifteen seconds at most', () => {
    expect([0, 1, 2, 3, 9].map(backoff)).toEqual([1000, 2000, 4000, 8000, 15000])
  })
})
