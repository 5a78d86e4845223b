import { expect, test, type CDPSession, type Page } from '@playwright/test'
import { execFileSync } from 'node:child_process'
import { createTenant, register } from '../e2e/fleet'
import { sessionFile } from '../e2e/setup'
import { readStack, type Stack } from '../e2e/stack'

// The console before 10,000 agents. They are copies of one agent's rows: what is measured reads rows alone.
test.describe.configure({ mode: 'serial' })
test.use({ storageState: sessionFile })

const agents = Number(process.env.AGENTS ?? 10_000)
const rounds = Number(process.env.ROUNDS ?? 60)
let s: Stack

const figures: [string, string][] = []
const note = (what: string, value: string) => {
  figures.push([what, value])
  console.log(`${what}: ${value}`)
}

const sql = (text: string) => execFileSync(process.env.PSQL ?? 'psql', [s.database, '-v', 'ON_ERROR_STOP=1', '-qc', text], { encoding: 'utf8' })

test.beforeAll(async () => {
  s = readStack()
  const tenant = await createTenant(s, 'Northwind')
  await register(s, tenant.token)
  sql(`
    INSERT INTO pools (id, instance_type, region, az, is_active)
    SELECT 't3.medium.us-east-1' || z, 't3.medium', 'us-east-1', 'us-east-1' || z, true FROM unnest(ARRAY['a','b','c','d','e','f']) z
    ON CONFLICT DO NOTHING;
    INSERT INTO pool_prices (pool_id, instance_type, region, az, price, source_type, observed_at)
    SELECT id, instance_type, region, az, 0.0125, 'collector', now() FROM pools WHERE instance_type = 't3.medium'
    ON CONFLICT DO NOTHING;
    INSERT INTO on_demand_prices (region, instance_type, price, source, observed_at)
    VALUES ('us-east-1', 't3.medium', 0.0416, 'pricing-api', now()) ON CONFLICT DO NOTHING;
    INSERT INTO agents
    SELECT (jsonb_populate_record(a, jsonb_build_object('id', a.id || '-' || i, 'logical_agent_id', 'web-' || i,
      'keeping', 'off', 'review_at', NULL))).*
    FROM agents a CROSS JOIN generate_series(1, ${agents - 1}) i WHERE a.logical_agent_id = 'first';
    INSERT INTO instances
    SELECT (jsonb_populate_record(o, jsonb_build_object('id', 'i-' || lpad(to_hex(i), 17, '0'), 'agent_id', o.agent_id || '-' || i,
      'az', 'us-east-1' || substr('abcdef', i % 6 + 1, 1), 'pool_id', 't3.medium.us-east-1' || substr('abcdef', i % 6 + 1, 1)))).*
    FROM instances o CROSS JOIN generate_series(1, ${agents - 1}) i WHERE o.id = 'i-0fedcba9876543210';
    ANALYZE agents; ANALYZE instances;`)
})

test.afterAll(() => {
  console.log('\n' + figures.map(([what, value]) => `| ${what} | ${value} |`).join('\n'))
})

const median = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]!

const inspect = async (page: Page): Promise<CDPSession> => {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' }) // other work on the machine does not count
  return cdp
}

/** worked is the time in which the page's main thread has computed, in milliseconds. */
async function worked(cdp: CDPSession): Promise<number> {
  const { metrics } = await cdp.send('Performance.getMetrics')
  return (metrics.find((m) => m.name === 'TaskDuration')?.value ?? NaN) * 1000
}

/** memory is what the tab holds after its garbage was collected. */
async function memory(cdp: CDPSession): Promise<{ heap: number; nodes: number; listeners: number }> {
  await cdp.send('HeapProfiler.collectGarbage')
  const { metrics } = await cdp.send('Performance.getMetrics')
  const of = (name: string) => metrics.find((m) => m.name === name)?.value ?? 0
  return { heap: of('JSHeapUsedSize') / 2 ** 20, nodes: of('Nodes'), listeners: of('JSEventListeners') }
}

test('loads', async ({ browser }) => {
  const paints: number[] = [], meaningful: number[] = [], rows: number[] = [], sizes: number[] = []
  for (let i = 0; i < 5; i++) {
    const context = await browser.newContext({ storageState: sessionFile, viewport: { width: 1280, height: 900 } })
    const page = await context.newPage()
    const cdp = await context.newCDPSession(page)
    await cdp.send('Network.enable')
    let bytes = 0
    const files = new Set<string>()
    cdp.on('Network.responseReceived', (e) => { if (['Document', 'Script', 'Stylesheet', 'Image', 'Font'].includes(e.type)) files.add(e.requestId) })
    cdp.on('Network.loadingFinished', (e) => { if (files.has(e.requestId)) bytes += e.encodedDataLength })
    await page.goto(s.base + '/')
    await page.waitForFunction(() => document.querySelector('.figure .n'))
    meaningful.push(await page.evaluate(() => performance.now()))
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN))
    await page.waitForLoadState('load')
    sizes.push(bytes)
    await page.goto(s.base + '/fleet')
    await page.waitForFunction(() => document.querySelector('tbody tr td a'))
    rows.push(await page.evaluate(() => performance.now()))
    await context.close()
  }
  note('first load, compressed', `${(median(sizes) / 1024).toFixed(1)} KB`)
  note('first contentful paint of Now, median of 5 cold loads', `${median(paints).toFixed(0)} ms`)
  note('figures of Now shown (first meaningful paint), median', `${median(meaningful).toFixed(0)} ms`)
  note(`first row of Fleet among ${agents} agents, median`, `${median(rows).toFixed(0)} ms`)
  expect(median(sizes)).toBeLessThanOrEqual(200 * 1024)
})

test('an idle page', async ({ page }) => {
  for (const [name, path] of [['Now', '/'], ['Fleet', '/fleet']] as const) {
    await page.goto(s.base + path)
    await expect(page.locator('[data-link="live"]')).toBeVisible()
    await page.waitForTimeout(5_000)
    let asked = 0
    const count = () => asked++
    page.on('request', count)
    await page.waitForTimeout(60_000)
    page.off('request', count)
    note(`requests a minute of an idle ${name}`, String(asked))
    expect(asked).toBeLessThanOrEqual(20)
  }
})

test('scrolling', async ({ page }) => {
  await page.goto(s.base + '/fleet')
  await page.waitForFunction(() => document.querySelector('tbody tr td a'))
  const cdp = await inspect(page)
  const before = await memory(cdp)
  const read = await page.evaluate(async (wanted) => {
    const box = document.querySelector('.scroller.tall')!
    const known = () => Number(box.querySelector('table')!.getAttribute('aria-rowcount')) - 1
    const frame = () => new Promise<number>((r) => requestAnimationFrame(r))
    const begun = performance.now()
    while (known() < wanted && performance.now() - begun < 400_000) {
      box.scrollTop = box.scrollHeight
      await frame()
    }
    const seconds = (performance.now() - begun) / 1000
    box.scrollTop = 0
    await frame()
    return { rows: known(), seconds, shown: box.querySelectorAll('tbody tr').length }
  }, agents)
  const computed = await worked(cdp)
  const got = await page.evaluate(async () => {
    const box = document.querySelector('.scroller.tall')!
    const frame = () => new Promise<number>((r) => requestAnimationFrame(r))
    const frames: number[] = []
    let last = await frame()
    for (let i = 0; i < 400; i++) {
      box.scrollTop += 300
      const now = await frame()
      frames.push(now - last)
      last = now
    }
    const sorted = [...frames].sort((a, b) => a - b)
    return {
      p50: sorted[200]!, p95: sorted[380]!, worst: sorted.at(-1)!, long: frames.filter((f) => f > 50).length, frames: frames.length,
    }
  })
  const each = (await worked(cdp) - computed) / got.frames
  const after = await memory(cdp)
  note('all read by scrolling to the end again and again', `${read.rows} rows in ${read.seconds.toFixed(1)} s, ${read.shown} of them in the page`)
  note('frames of 300 px each through them', `p50 ${got.p50.toFixed(1)} ms, p95 ${got.p95.toFixed(1)} ms, worst ${got.worst.toFixed(0)} ms, ${got.long} of ${got.frames} over 50 ms; the page computes ${each.toFixed(1)} ms for each`)
  note('heap of Fleet', `${before.heap.toFixed(1)} MB with the first rows, ${after.heap.toFixed(1)} MB with ${read.rows}`)
  expect(read.rows).toBe(agents)
})

test('memory', async ({ page }) => {
  await page.goto(s.base + '/')
  const cdp = await inspect(page)
  const pages = page.getByRole('navigation', { name: 'Pages' })
  const tour = async () => {
    for (const [link, heading] of [['Fleet', 'Fleet'], ['Operations', 'Operations'], ['Pools', 'Pools'], ['Now', 'Now']] as const) {
      await pages.getByRole('link', { name: link }).click()
      await expect(page.getByRole('heading', { level: 1, name: heading })).toBeVisible()
      await page.waitForTimeout(250)
    }
  }
  await tour()
  const before = await memory(cdp)
  for (let i = 0; i < rounds; i++) await tour()
  const after = await memory(cdp)
  note(`heap before and after ${rounds} tours of four pages, instead of an hour with a read each minute`, `${before.heap.toFixed(1)} MB, ${after.heap.toFixed(1)} MB`)
  note('nodes and listeners before and after', `${before.nodes} and ${before.listeners}, ${after.nodes} and ${after.listeners}`)
  expect(after.heap).toBeLessThan(before.heap * 2 + 10)
})
