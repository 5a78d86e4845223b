import { expect, test } from 'vitest'
import { barsOf } from './distribution'

test('bars are shares of the fullest bucket, and what is past the notice is late', () => {
  expect(barsOf([{ from_ms: 0, up_to_ms: 500, count: 4 }, { from_ms: 500, up_to_ms: 120_000, count: 1 }, { from_ms: 120_000, up_to_ms: null, count: 2 }], 120_000)).toEqual([
    { name: 'up to 500 ms', count: 4, share: 1, late: false },
    { name: 'up to 2 m', count: 1, share: 0.25, late: false },
    { name: 'over 2 m, or lost', count: 2, share: 0.5, late: true },
  ])
  expect(barsOf([{ from_ms: 0, up_to_ms: null, count: 0 }], 120_000)[0]!.share).toBe(0)
})
