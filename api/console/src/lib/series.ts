import type { Schemas } from '../api/client'

export interface Aligned {
  names: string[]
  /** seconds, and for each pool its measured and its interpolated prices; null where nothing is known */
  data: (number | null)[][]
}

/** align puts the prices of several pools on one axis. An interpolated stretch begins and ends at the measured price beside it. */
export function align(d: Schemas['poolPricesAnswer']): Aligned {
  const own = (id: string) => (id === d.pool_id ? 0 : 1)
  const series = [...d.series].sort((a, b) => own(a.pool_id) - own(b.pool_id) || a.pool_id.localeCompare(b.pool_id))
  const times = [...new Set(series.flatMap((s) => s.points.map((p) => Date.parse(p.at) / 1000)))].sort((a, b) => a - b)
  const at = new Map(times.map((t, i) => [t, i]))
  const data: (number | null)[][] = [times]
  for (const s of series) {
    const measured: (number | null)[] = times.map(() => null)
    const guessed: (number | null)[] = times.map(() => null)
    s.points.forEach((p, i) => {
      const where = at.get(Date.parse(p.at) / 1000)!
      if (!p.interpolated) measured[where] = p.price
      if (p.interpolated || s.points[i - 1]?.interpolated || s.points[i + 1]?.interpolated) guessed[where] = p.price
    })
    data.push(measured, guessed)
  }
  return { names: series.map((s) => s.pool_id), data }
}
