import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createRootRoute, createRoute, createRouter, lazyRouteComponent, Link, Outlet, RouterProvider, useRouterState } from '@tanstack/react-router'
import { useEffect, useRef, useState } from 'react'
import * as q from '../api/queries'
import { Refused, type Schemas } from '../api/client'
import { standing } from '../lib/permission'
import { Empty, Head, Panel, Problem } from '../ui/parts'
import { LinkState, LiveProvider, pollEvery, StaleBar, useLive } from './live'
import { navigation } from './navigation'
import { Palette } from './Palette'
import { setTheme, theme, type Theme } from './theme'
import { Toasts } from './toasts'

// While the stream stands, polling is a net for what it does not tell: pauses, prices, jobs.
let pollingInterval: number | false = pollEvery

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 2_000,
      retry: (n, error) => n < 2 && !(error instanceof Refused && error.status >= 400 && error.status < 500),
      refetchOnWindowFocus: false, // the stream says what is old
      refetchInterval: () => pollingInterval,
    },
  },
})

type Search = Record<string, string | undefined>

/** What a page filters by is in its address, so that an address can be handed on. */
function search(input: Record<string, unknown>): Search {
  const out: Search = {}
  for (const [k, v] of Object.entries(input)) if (v !== '' && v != null) out[k] = String(v)
  return out
}

const root = createRootRoute({ component: Shell, validateSearch: search, notFoundComponent: () => <div className="page"><h1>There is no such page</h1><Link to="/">Back to what happens now</Link></div> })
const page = <P extends string>(path: P, load: () => Promise<{ default: React.ComponentType }>) =>
  createRoute({ getParentRoute: () => root, path, component: lazyRouteComponent(load), errorComponent: ({ error }) => <div className="page"><h1>This page failed</h1><Problem error={error} /></div> })

const tree = root.addChildren([
  page('/', () => import('../pages/Now')),
  page('/fleet', () => import('../pages/Fleet')),
  page('/agents/$id', () => import('../pages/Agent')),
  page('/operations', () => import('../pages/Operations')),
  page('/operations/$id', () => import('../pages/Operation')),
  page('/failovers', () => import('../pages/Failovers')),
  page('/decisions', () => import('../pages/Decisions')),
  page('/approvals', () => import('../pages/Approvals')),
  page('/pools', () => import('../pages/Pools')),
  page('/savings', () => import('../pages/Savings')),
  page('/rollouts', () => import('../pages/Rollouts')),
  page('/jobs', () => import('../pages/Jobs')),
  page('/clients', () => import('../pages/Clients')),
  page('/clients/$id', () => import('../pages/Client')),
  page('/audit', () => import('../pages/Audit')),
  page('/system', () => import('../pages/System')),
])

const below = window.location.pathname.startsWith('/console') ? '/console' : '/'

const router = createRouter({
  routeTree: tree, basepath: below, defaultPreload: 'intent', scrollRestoration: false,
  // Values in the address are plain words, not JSON.
  parseSearch: (text) => Object.fromEntries(new URLSearchParams(text)),
  stringifySearch: (values) => {
    const text = new URLSearchParams(Object.entries(values).filter((e): e is [string, string] => e[1] != null && e[1] !== '')).toString()
    return text ? '?' + text : ''
  },
})

declare module '@tanstack/react-router' {
  interface Register {
    router: typeof router
  }
}

export function Root() {
  return (
    <QueryClientProvider client={client}>
      <RouterProvider router={router} />
    </QueryClientProvider>
  )
}

function Shell() {
  const who = useQuery(q.session)
  if (who.error) return <div className="page"><h1>Spotkeeper</h1><Problem error={who.error} retry={() => void who.refetch()} /></div>
  if (!who.data) return <div className="page" role="status">Reading who you are …</div>
  const stream = who.data.operator ? '/api/admin/events' : `/api/client/${who.data.client_id}/events`
  return (
    <LiveProvider path={stream}>
      <Toasts>
        <Frame who={who.data} />
      </Toasts>
    </LiveProvider>
  )
}

/** pagesOf lists the pages that are for a caller. */
function pagesOf(who: Schemas['callerAnswer']): { to: string; name: string }[] {
  const own = who.client_id ? [{ to: '/clients/' + who.client_id, name: 'Tokens and webhooks' }] : []
  return [...navigation.filter((n) => who.operator || !n.operators), ...own]
}

const isForOperators = (path: string, who: Schemas['callerAnswer']): boolean => !who.operator && navigation.some((n) => n.operators && n.to === path)

/** ForOperators is shown to a tenant that opens the link of an operator. */
function ForOperators() {
  return (
    <>
      <Head title="This page is for operators" lead="You are logged in as a tenant, who sees what is its own." />
      <Panel title="Where to go"><Empty title="The link was made by an operator of this deployment."><span>Ask the person who sent it for what you need, or go to <Link to="/">what happens now</Link> in your fleet.</span></Empty></Panel>
    </>
  )
}

function Frame({ who }: { who: Schemas['callerAnswer'] }) {
  const live = useLive()
  const [finding, setFinding] = useState(false)
  const path = useRouterState({ select: (s) => s.location.pathname })
  const pages = pagesOf(who)
  useEffect(() => {
    pollingInterval = live.paused ? false : live.link === 'live' ? 60_000 : pollEvery
    // What is read already keeps the interval that it began with until its options are set anew.
    for (const query of client.getQueryCache().getAll()) for (const o of query.observers) o.setOptions(o.options)
    if (!live.paused && live.link === 'lost') void client.invalidateQueries()
  }, [live.link, live.paused])
  useEffect(() => {
    const keys = (e: KeyboardEvent) => {
      if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === 'k') {
        e.preventDefault()
        setFinding(true)
      }
    }
    window.addEventListener('keydown', keys)
    document.addEventListener('click', followInside)
    return () => {
      window.removeEventListener('keydown', keys)
      document.removeEventListener('click', followInside)
    }
  }, [])
  const before = useRef(path)
  useEffect(() => {
    // A reader of the screen, and the keyboard, begin where the new page does.
    if (before.current !== path) document.getElementById('content')?.focus({ preventScroll: true })
    before.current = path
  }, [path])
  return (
    <div className="shell">
      <a className="skip" href="#content">Skip to the page</a>
      <aside className="side">
        <Link to="/" className="brand"><img src="/console/icon.svg" alt="" />Spotkeeper</Link>
        <nav aria-label="Pages">
          <ul className="nav">
            {pages.map((n) => (
              <li key={n.to}><Link to={n.to as '/'} activeOptions={{ exact: n.to === '/', includeSearch: false }} search={{}}>{n.name}</Link></li>
            ))}
          </ul>
        </nav>
        <div className="foot">
          <div>{who.name}, {standing(who)}</div>
          {who.may.length === 0 && <div className="muted">You may look at everything here, and change nothing.</div>}
          {who.session && <form method="post" action="/logout"><button className="plain" type="submit">Log out</button></form>}
          <a href="/docs">API documentation</a>
        </div>
      </aside>
      <div className="main">
        <header className="top">
          <button className="grow" style={{ justifyContent: 'space-between', maxWidth: 360 }} onClick={() => setFinding(true)}>
            <span className="muted">Find …</span><kbd className="muted mono">Ctrl K</kbd>
          </button>
          <span className="grow" />
          <LinkState />
          <ThemeChoice />
        </header>
        <StaleBar />
        <main id="content" className="page" tabIndex={-1}>{isForOperators(path, who) ? <ForOperators /> : <Outlet />}</main>
      </div>
      <Palette open={finding} onOpenChange={setFinding} pages={pages} />
    </div>
  )
}

/** followInside lets a plain link to a page of the console change the page without loading it anew. */
function followInside(e: MouseEvent) {
  const link = (e.target as Element | null)?.closest?.('a')
  if (!link || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || link.target || link.origin !== window.location.origin) return
  const path = below === '/' ? link.pathname : link.pathname.slice(below.length) || '/'
  const known = navigation.some((n) => path === n.to) && (below === '/' || link.pathname.startsWith(below))
  if (!known || link.hash) return
  e.preventDefault()
  router.history.push(link.pathname + link.search)
}

function ThemeChoice() {
  const [now, setNow] = useState<Theme>(theme())
  return (
    <label>
      <span className="hidden">Theme</span>
      <select value={now} onChange={(e) => { const t = e.target.value as Theme; setTheme(t); setNow(t) }}>
        <option value="system">System theme</option><option value="light">Light</option><option value="dark">Dark</option>
      </select>
    </label>
  )
}
