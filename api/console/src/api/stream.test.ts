import { describe, expect, it } from 'vitest'
import { backoff, initial, keysOf, Parser, reduce } from './stream'

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

  it('is read the same in whatever pieces it arrives', () => {
    const text = 'retry: 2000\n\n: beat\n\nid: 7\nevent: notice\ndata: {"a":\ndata: 1}\n\nid: 8\nevent: roles\r\ndata:x\r\n\r\nid: 9\ndata: cut off'
    const want = [{ id: '7', type: 'notice', data: '{"a":\n1}' }, { id: '8', type: 'roles', data: 'x' }]
    for (let size = 1; size <= text.length; size++) {
      const parser = new Parser(), got = []
      for (let at = 0; at < text.length; at += size) got.push(...parser.push(text.slice(at, at + size)))
      expect(got).toEqual(want)
    }
  })
})
