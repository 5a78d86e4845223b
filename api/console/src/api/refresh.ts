import type { InvalidateQueryFilters, QueryClient } from '@tanstack/react-query'

/**
 * refresh reads again what an action has made old. A first read that began before the action
 * answers what was before it: it is called off, because an invalidation alone would wait for
 * its answer and keep that.
 */
export async function refresh(client: QueryClient, filters: InvalidateQueryFilters = {}): Promise<void> {
  await client.cancelQueries({ ...filters, predicate: (q) => q.state.data === undefined })
  await client.invalidateQueries(filters)
}
