import type { Schemas } from '../api/client'
import { duration } from './format'

type Bucket = Schemas['failoverBucket']

/** bucketName says in words which times a bucket holds. */
export function bucketName(b: Bucket): string {
  return b.up_to_ms == null ? `over ${duration(b.from_ms)}, or lost` : `up to ${duration(b.up_to_ms)}`
}

export interface Bar { name: string; count: number; share: number; late: boolean }

/** barsOf makes the bars of a distribution: shares of the fullest one, and whether they are past the notice. */
export function barsOf(buckets: Bucket[], noticeMs: number): Bar[] {
  const most = Math.max(1, ...buckets.map((b) => b.count))
  return buckets.map((b) => ({ name: bucketName(b), count: b.count, share: b.count / most, late: b.from_ms >= noticeMs }))
}
