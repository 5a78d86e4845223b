import { describe, expect, it } from 'vitest'
import type { Schemas } from '../api/client'
import { buildWaterfall, postMortem, secondsLeft, ticksOf } from './waterfall'

const zero = Date.UTC(2026, 0, 1)
const at = (ms: number) => new Date(zero + ms).toISOString()

const op = {
  id: 'termination/a1/i-1', kind: 'termination', state: 'running', phase: 'waiting_for_aws', summary: 'AWS takes i-1', agent_id: 'a1', agent_name: 'web',
  began_at: at(0), deadline_at: at(120_000), ended_at: null, error_message: null,
  notices: [{ kind: 'termination-notice', door: 'eventbridge', arrivals: 3, arrived_at: at(0), received_at: at(2), delivered_at: at(8), decided_at: at(2200), decided_ms: 2200, deadline: at(120_000), result: 'promoted', new_primary: 'i-2' }],
  launches: [
    { replica_id: 'r', pool_id: 'm5.large.us-east-1a', mode: 'spot', state: 'failed', instance_id: null, error_code: 'launch.no_capacity', error_message: 'none', at: at(100), ended_at: at(160), took_ms: 60 },
    { replica_id: 'r', pool_id: 'm5.large.us-east-1d', mode: 'spot', state: 'launched', instance_id: 'i-2', error_code: null, error_message: null, at: at(170), ended_at: at(180), took_ms: 10 },
  ],
  role_changes: [{ epoch: 4, old_primary: 'i-1', new_primary: 'i-2', cause: 'termination', operation_id: 'x', at: at(2200) }],
  related: [{ id: 'replica/r', kind: 'replica', state: 'succeeded', summary: '', replica_id: 'r', started_at: at(90), ended_at: at(2300), steps: [
    { name: 'starting', status: 'started', detail: 'waiting until i-2 runs', since_ms: 190, seconds_left: null, at: '', exact_at: '' },
    { name: 'ready', status: 'done', detail: 'i-2 can take over', since_ms: 2150, seconds_left: null, at: '', exact_at: '' },
  ] }],
  steps: [
    { name: 'notice arrived', status: 'done', detail: '', since_ms: 0, seconds_left: 120, at: '', exact_at: '' },
    { name: 'primary changed', status: 'done', detail: '', since_ms: 2200, seconds_left: 117.8, at: '', exact_at: '' },
    { name: 'waiting_for_aws', status: 'started', detail: 'i-1 runs until AWS takes it', since_ms: 2250, seconds_left: 117.7, at: '', exact_at: '' },
  ],
} as unknown as Schemas['operationDetail']

describe('the waterfall', () => {
  const w = buildWaterfall(op, zero + 30_000)
  const row = (label: string) => w.rows.find((r) => r.label === label)!

  it('ends its axis at the deadline and knows when a new primary led', () => {
    expect(w).toMatchObject({ until: 120_000, deadline: 120_000, decided: 2200 })
    expect(secondsLeft(w, 2200)).toBe('117.8 s left')
    expect(secondsLeft(w, 121_000)).toBe('1.0 s over')
  })

  it('shows the door, each pool that was tried and why it failed, and the new epoch', () => {
    expect(row('notice seen').detail).toBe('from an event of AWS (door eventbridge), 3 times in all')
    expect(row('launch in m5.large.us-east-1a')).toMatchObject({ from: 100, to: 160, tone: 'failed', detail: 'refused: launch.no_capacity' })
    expect(row('launch in m5.large.us-east-1d')).toMatchObject({ tone: 'done' })
    expect(row('roles changed, epoch 3 → 4').from).toBe(2200)
    expect(row('replica: starting')).toMatchObject({ from: 190, to: 2150 })
  })

  it('lets what goes on reach to now, and says nothing twice', () => {
    expect(row('waiting for AWS')).toMatchObject({ to: 30_000, running: true, tone: 'open' })
    expect(w.rows.filter((r) => r.label === 'primary changed')).toEqual([])
    expect(w.rows.map((r) => r.from)).toEqual([...w.rows.map((r) => r.from)].sort((a, b) => a - b))
  })

  it('writes a post-mortem', () => {
    expect(postMortem(op, w)).toContain('A new primary led after 2.2 s, with 117.8 s left.')
    expect(postMortem(op, w)).toContain('| 100 ms | 60 ms | launch in m5.large.us-east-1a | refused: launch.no_capacity |')
  })

  it('begins its axis with what was prepared, and leaves another story out', () => {
    const replica = (id: string, from: number, until: number) => ({ ...op.related[0]!, id: 'replica/' + id, replica_id: id, started_at: at(from), ended_at: at(until), steps: [{ ...op.related[0]!.steps[0]!, since_ms: from }] })
    const launch = (replica_id: string, instance_id: string, from: number) => ({ ...op.launches[1]!, replica_id, instance_id, pool_id: instance_id, at: at(from), ended_at: at(from + 5) })
    const prepared = { ...op, related: [replica('early', -3000, 10), replica('over', -9000, -4000)], launches: [launch('early', 'i-2', -2900), launch('over', 'i-0', -8900)] }
    const got = buildWaterfall(prepared, zero + 30_000)
    expect(got.start).toBe(-3000)
    expect(got.rows.map((r) => r.label)).toContain('launch in i-2')
    expect(got.rows.filter((r) => r.from < -3000)).toEqual([])
  })

  it('has round ticks', () => {
    expect(ticksOf(120_000)).toEqual([0, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000])
    expect(ticksOf(2200)).toEqual([0, 500, 1000, 1500, 2000])
  })
})
