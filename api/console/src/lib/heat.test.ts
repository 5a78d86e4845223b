import { expect, it } from 'vitest'
import { heatOf } from './heat'

const quiet = { price_ratio: 0.3, terminations_last_day: 0, launches_refused_last_hour: 0, retry_after: null }

it('asks whether a pool can be had before it asks what it costs', () => {
  expect(heatOf(quiet).tone).toBe('cheap')
  expect(heatOf({ ...quiet, price_ratio: 0.5 }).tone).toBe('mid')
  expect(heatOf({ ...quiet, price_ratio: 0.8 }).tone).toBe('dear')
  expect(heatOf({ ...quiet, price_ratio: null }).word).toBe('no price')
  expect(heatOf({ ...quiet, terminations_last_day: 2 })).toEqual({ tone: 'hot', word: '2 taken' })
  expect(heatOf(quiet, true).word).toBe('blocked')
  expect(heatOf({ ...quiet, retry_after: '2026-01-01T00:00:00Z' }).word).toBe('refuses')
})
