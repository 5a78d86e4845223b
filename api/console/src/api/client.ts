import createClient, { type Middleware } from 'openapi-fetch'
import type { components, paths } from './schema'

export type Schemas = components['schemas']

/** A refusal or failure of the API: one sentence for people, and a code that does not change. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Record<string, string[]> = {},
  ) {
    super(message)
    this.name = 'Refused'
  }
}

/** otherTabs carries between the tabs of one browser that something was changed, so that none shows what was before. */
export const otherTabs = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel('spotkeeper')

const changes: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET') request.headers.set('X-Spotkeeper-CSRF', '1')
    return request
  },
  onResponse({ request, response }) {
    if (response.status === 401) goToLogin()
    if (request.method !== 'GET' && response.ok) otherTabs?.postMessage('changed')
    return response
  },
}

/** goToLogin sends the browser to the login page, which brings it back to this page. */
export function goToLogin(): void {
  window.location.assign('/login?next=' + encodeURIComponent(window.location.pathname + window.location.search))
}

export const api = createClient<paths>({ baseUrl: '/', fetch: (r) => globalThis.fetch(r) })
api.use(changes)

interface Result<T> {
  data?: T
  error?: unknown
  response: Response
}

/** upload sends a model or an engine; which of the two its name says. */
export function upload(file: File): Promise<{ sessionId: string; warning?: string }> {
  const form = new FormData()
  form.append('files', file)
  const path = file.name.endsWith('.py') ? '/api/admin/decision-engine/upload?activate=false' : '/api/admin/ml-models/upload'
  const sent = fetch(path, { method: 'POST', body: form, headers: { 'X-Spotkeeper-CSRF': '1' } })
  return ask(sent.then(async (response) => {
    const body: unknown = await response.json().catch(() => ({}))
    return response.ok ? { data: body as { sessionId: string }, response } : { error: body, response }
  }))
}

/** ask waits for an answer and turns each refusal into a Refused. */
export async function ask<T>(call: Promise<Result<T>>): Promise<T> {
  let result: Result<T>
  try {
    result = await call
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new Refused(0, 'console.no_answer', 'The API does not answer. What you see may be old.')
  }
  if (result.data !== undefined && result.response.ok) return result.data
  const body = (result.error ?? {}) as { error?: string; code?: string; details?: Record<string, string[]> }
  throw new Refused(
    result.response.status,
    body.code ?? 'console.http_' + result.response.status,
    body.error ?? `The API answered ${result.response.status}.`,
    body.details,
  )
}
