import { queryOptions, infiniteQueryOptions } from '@tanstack/react-query'
import { api, ask } from './client'

// The first member of a key is what the stream of events makes old (stream.ts).

export const session = queryOptions({ queryKey: ['session'], queryFn: () => ask(api.GET('/api/session')), staleTime: 300_000, refetchInterval: false })
export const version = queryOptions({ queryKey: ['version'], queryFn: () => ask(api.GET('/api/version')), staleTime: 300_000, refetchInterval: false })
export const overview = queryOptions({ queryKey: ['overview'], queryFn: () => ask(api.GET('/api/overview')) })
export const dependencies = queryOptions({ queryKey: ['dependencies'], queryFn: () => ask(api.GET('/api/admin/dependencies')) })
export const notices = (query: { state?: 'open' | 'all'; agent_id?: string; limit?: number } = {}) =>
  queryOptions({ queryKey: ['notices', query], queryFn: () => ask(api.GET('/api/notices', { params: { query } })) })

export interface OperationFilter {
  kind?: 'switch' | 'replica' | 'termination' | 'promotion' | 'removal' | 'adoption'
  state?: 'running' | 'succeeded' | 'failed' | 'cancelled'
  agent_id?: string
  client_id?: string
  cause?: string
}
export const operations = (filter: OperationFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: ['operations', filter, limit],
    queryFn: ({ pageParam }) => ask(api.GET('/api/operations', { params: { query: { ...filter, limit, ...(pageParam ? { after: pageParam } : {}) } } })),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
  })
export const operation = (id: string) =>
  queryOptions({ queryKey: ['operation', id], queryFn: () => ask(api.GET('/api/operations/{operation_id}', { params: { path: { operation_id: id } } })) })

export interface FleetFilter {
  client_id?: string
  status?: 'online' | 'offline' | 'disabled' | 'switching' | 'error'
  mode?: 'spot' | 'ondemand'
  needs?: 'primary' | 'standby' | 'pause'
  q?: string
}
export const fleet = (filter: FleetFilter) =>
  infiniteQueryOptions({
    queryKey: ['fleet', filter],
    queryFn: ({ pageParam }) => ask(api.GET('/api/fleet', { params: { query: { ...filter, limit: 200, ...(pageParam ? { after: pageParam } : {}) } } })),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
    maxPages: 100,
  })
const agentPath = (agent_id: string) => ({ params: { path: { agent_id } } })
export const agentState = (id: string) => queryOptions({ queryKey: ['agent', id, 'state'], queryFn: () => ask(api.GET('/api/client/agents/{agent_id}/state', agentPath(id))) })
export const agentPreflight = (id: string) => queryOptions({ queryKey: ['agent', id, 'preflight'], queryFn: () => ask(api.GET('/api/client/agents/{agent_id}/preflight', agentPath(id))) })
export const agentDescription = (id: string) => queryOptions({ queryKey: ['agent', id, 'description'], queryFn: () => ask(api.GET('/api/client/agents/{agent_id}/description', agentPath(id))) })
export const explain = (id: string) => queryOptions({ queryKey: ['agent', id, 'explain'], queryFn: () => ask(api.GET('/api/client/agents/{agent_id}/explain', agentPath(id))) })
export const failovers = (query: { days: number; client_id?: string }) =>
  queryOptions({ queryKey: ['failovers', query], queryFn: () => ask(api.GET('/api/failovers', { params: { query } })) })
export const decisions = (query: { hours: number; client_id?: string }) =>
  queryOptions({ queryKey: ['decisions', query], queryFn: () => ask(api.GET('/api/decisions', { params: { query } })) })
export const poolBlocks = queryOptions({ queryKey: ['pools', 'blocks'], queryFn: () => ask(api.GET('/api/pool-blocks')) })
export const pools = (filter: { region?: string; instance_type?: string } = {}) =>
  queryOptions({ queryKey: ['pools', filter], queryFn: () => ask(api.GET('/api/pools', { params: { query: filter } })) })
export const poolPrices = (id: string, hours: number) =>
  queryOptions({
    queryKey: ['pools', id, hours],
    queryFn: () => ask(api.GET('/api/pools/{pool_id}/prices', { params: { path: { pool_id: id }, query: { hours } } })),
  })
export interface EventFilter { by?: 'people' | 'all'; q?: string; agent_id?: string; type?: string; since?: string; until?: string }
export const events = (filter: EventFilter, limit = 100) =>
  infiniteQueryOptions({
    queryKey: ['activity', filter, limit],
    queryFn: ({ pageParam }) => ask(api.GET('/api/events', { params: { query: { ...filter, limit, ...(pageParam ? { before: Number(pageParam) } : {}) } } })),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
  })
export const schedules = queryOptions({ queryKey: ['schedules'], queryFn: () => ask(api.GET('/api/admin/schedules')) })
export const workers = queryOptions({ queryKey: ['workers'], queryFn: () => ask(api.GET('/api/admin/workers')) })
export const eventQueues = queryOptions({ queryKey: ['workers', 'queues'], queryFn: () => ask(api.GET('/api/admin/event-queues')) })
export const components = queryOptions({ queryKey: ['components'], queryFn: () => ask(api.GET('/api/admin/components')), staleTime: Infinity, refetchInterval: false })
export const rollouts = queryOptions({ queryKey: ['rollouts'], queryFn: () => ask(api.GET('/api/admin/model-rollouts')) })
export const sessions = (kind: 'models' | 'engine') =>
  queryOptions({ queryKey: ['rollouts', 'sessions', kind], queryFn: () => ask(api.GET('/api/admin/ml-models/sessions', { params: { query: { kind } } })) })
export const savings = (months: number) => queryOptions({ queryKey: ['savings', months], queryFn: () => ask(api.GET('/api/savings', { params: { query: { months } } })) })
export const savingsByTag = (tag: string | undefined, months: number) =>
  queryOptions({ queryKey: ['savings', 'tag', tag, months], queryFn: () => ask(api.GET('/api/savings/by-tag', { params: { query: { months, ...(tag ? { tag } : {}) } } })) })
export interface ApprovalFilter { client_id?: string; state?: 'pending' | 'approved' | 'rejected' | 'lapsed' | 'outdated' | 'used' }
export const approvals = (filter: ApprovalFilter) =>
  infiniteQueryOptions({
    queryKey: ['approvals', filter],
    queryFn: ({ pageParam }) => ask(api.GET('/api/approvals', { params: { query: { ...filter, limit: 100, ...(pageParam ? { after: pageParam } : {}) } } })),
    initialPageParam: '',
    getNextPageParam: (last) => last.next ?? undefined,
  })
export const pauses = queryOptions({ queryKey: ['pauses'], queryFn: () => ask(api.GET('/api/admin/pauses')) })
export const clients = queryOptions({ queryKey: ['clients'], queryFn: () => ask(api.GET('/api/admin/clients')) })
export const client = (id: string) => queryOptions({ queryKey: ['clients', id], queryFn: () => ask(api.GET('/api/client/{client_id}', { params: { path: { client_id: id } } })) })
export const clientAccount = (id: string) => queryOptions({ queryKey: ['clients', id, 'account'], queryFn: () => ask(api.GET('/api/client/{client_id}/account', { params: { path: { client_id: id } } })), refetchInterval: false })
const clientPath = (client_id: string) => ({ params: { path: { client_id } } })
export const clientPreflight = (id: string) => queryOptions({ queryKey: ['clients', id, 'preflight'], queryFn: () => ask(api.GET('/api/client/{client_id}/preflight', clientPath(id))) })
export const moveRules = (id: string) => queryOptions({ queryKey: ['clients', id, 'rules'], queryFn: () => ask(api.GET('/api/client/{client_id}/move-rules', clientPath(id))) })
export const clientLimits = (id: string) => queryOptions({ queryKey: ['clients', id, 'limits'], queryFn: () => ask(api.GET('/api/client/{client_id}/limits', clientPath(id))) })
export const credentials = (id: string) => queryOptions({ queryKey: ['clients', id, 'credentials'], queryFn: () => ask(api.GET('/api/client/{client_id}/credentials', { params: { path: { client_id: id } } })) })
export const logins = queryOptions({ queryKey: ['logins'], queryFn: () => ask(api.GET('/api/admin/sessions')) })
export const sinks = (id: string) => queryOptions({ queryKey: ['clients', id, 'sinks'], queryFn: () => ask(api.GET('/api/client/{client_id}/sinks', { params: { path: { client_id: id } } })) })
export const systemHealth = queryOptions({ queryKey: ['system'], queryFn: () => ask(api.GET('/api/admin/system-health')) })
