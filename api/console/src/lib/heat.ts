import type { Schemas } from '../api/client'

export interface Heat { tone: 'cheap' | 'mid' | 'dear' | 'hot'; word: string }

/** heatOf says how good a pool is now: first whether it can be had and is left alone, then what it costs. */
export function heatOf(p: Pick<Schemas['poolItem'], 'price_ratio' | 'terminations_last_day' | 'launches_refused_last_hour' | 'retry_after'>, blocked = false): Heat {
  if (blocked) return { tone: 'hot', word: 'blocked' }
  if (p.launches_refused_last_hour > 0 || p.retry_after) return { tone: 'hot', word: 'refuses' }
  if (p.terminations_last_day > 0) return { tone: 'hot', word: `${p.terminations_last_day} taken` }
  if (p.price_ratio == null) return { tone: 'mid', word: 'no price' }
  if (p.price_ratio < 0.35) return { tone: 'cheap', word: 'cheap' }
  return p.price_ratio < 0.6 ? { tone: 'mid', word: 'fair' } : { tone: 'dear', word: 'dear' }
}
