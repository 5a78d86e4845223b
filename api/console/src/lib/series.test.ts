import { expect, it } from 'vitest'
import { align } from './series'

const at = (min: number) => new Date(Date.UTC(2026, 0, 1, 0, min)).toISOString()

it('puts pools on one axis, the own one first, and joins what is interpolated to what was measured', () => {
  const a = align({
    pool_id: 'b', instance_type: '', region: '', on_demand_price: null, marks: [],
    series: [
      { pool_id: 'a', points: [{ at: at(0), price: 1, interpolated: false }] },
      { pool_id: 'b', points: [{ at: at(0), price: 2, interpolated: false }, { at: at(5), price: 3, interpolated: true }, { at: at(10), price: 4, interpolated: false }] },
    ],
  })
  expect(a.names).toEqual(['b', 'a'])
  expect(a.data[0]).toHaveLength(3)
  expect(a.data.slice(1)).toEqual([[2, null, 4], [2, 3, 4], [1, null, null], [null, null, null]])
})
