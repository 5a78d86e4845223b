import AxeBuilder from '@axe-core/playwright'
import { expect, test, type Page } from '@playwright/test'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { boot, createTenant, interrupt, operator, register, setDelays, startAgent, wantStandby, type Agent, type Tenant } from './fleet'
import { sessionFile } from './setup'
import { killApi, operatorToken, readStack, startApi, until, type Stack } from './stack'

test.describe.configure({ mode: 'serial' })
test.use({ storageState: sessionFile })

let s: Stack
let tenant: Tenant
let shop: Agent // is interrupted
let depot: Agent // has a standby, is moved and promoted
let failover = '' // address of the waterfall of the interruption
const complaints: string[] = []

test.beforeAll(async () => {
  s = readStack()
  tenant = await createTenant(s, 'Northwind')
  shop = await startAgent(s, tenant, 'shop', 'c5.large', 'us-east-1a')
  depot = await startAgent(s, tenant, 'depot', 'c5.large', 'us-east-1c')
  await wantStandby(s, tenant, depot)
})

test.beforeEach(({ page }) => {
  page.on('pageerror', (e) => complaints.push(e.message))
  page.on('console', (m) => {
    // An api that is away is part of one test; what the page itself does wrong is not.
    if (m.type() === 'error' && !/Failed to load resource|ERR_CONNECTION_REFUSED|net::/.test(m.text())) complaints.push(m.text())
  })
})

const open = async (page: Page, path: string) => {
  await page.goto(s.base + path)
  await expect(page.locator('[data-link="live"]')).toBeVisible()
}

test.describe('without a session', () => {
  test.use({ storageState: { cookies: [], origins: [] } })

  test('an operator signs in, and comes to the page that was asked for', async ({ page }) => {
    await page.goto(s.base + '/fleet?status=online')
    await expect(page).toHaveURL(/\/login\?next=/)
    await page.getByLabel(/token/i).fill('not-the-token')
    await page.getByRole('button', { name: /log in|sign in/i }).click()
    await expect(page.getByText(/not an operator/i)).toBeVisible()
    await page.getByLabel(/token/i).fill(operatorToken)
    await page.getByRole('button', { name: /log in|sign in/i }).click()
    await expect(page).toHaveURL(/\/fleet\?status=online$/)
    await expect(page.getByRole('link', { name: 'shop' })).toBeVisible()
    const cookie = (await page.context().cookies()).find((c) => c.name === 'spotkeeper_session')
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
    await page.getByRole('button', { name: 'Log out' }).click()
    await expect(page).toHaveURL(/\/login/)
  })
})

test('the first load is small, and nothing on it is inline', async ({ page }) => {
  const cdp = await page.context().newCDPSession(page)
  await cdp.send('Network.enable')
  const kinds = new Map<string, string>()
  let bytes = 0
  cdp.on('Network.responseReceived', (e) => kinds.set(e.requestId, e.type))
  cdp.on('Network.loadingFinished', (e) => {
    if (['Document', 'Script', 'Stylesheet', 'Image', 'Font'].includes(kinds.get(e.requestId) ?? '')) bytes += e.encodedDataLength
  })
  const answer = await page.goto(s.base + '/')
  expect(answer!.headers()['content-security-policy']).toContain("script-src 'self';")
  await expect(page.getByRole('heading', { name: 'Notices that stand' })).toBeVisible()
  await page.waitForLoadState('load')
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0)
  console.log(`first load: ${(bytes / 1024).toFixed(1)} KB compressed, first contentful paint after ${paint.toFixed(0)} ms`)
  expect(bytes).toBeGreaterThan(50_000)
  expect(bytes).toBeLessThanOrEqual(200 * 1024)
})

test('an interruption is watched on Now, and its waterfall read', async ({ page }) => {
  await open(page, '/')
  await expect(page.getByRole('link', { name: 'shop' })).toHaveCount(0)
  const interrupted = interrupt(s, tenant, shop, 60)
  const notices = page.getByRole('region', { name: 'Notices that stand' })
  const row = notices.getByRole('row').filter({ hasText: 'shop' })
  await expect(row).toBeVisible()
  await expect(row.getByRole('timer')).toHaveText(/[01]:[0-9]{2}/)
  await expect(row.getByText('promoted')).toBeVisible()
  await interrupted
  await row.getByRole('link', { name: /waiting for aws|looking/i }).click()
  await expect(page.getByTestId('verdict')).toHaveText(/i-[0-9a-f]+ leads instead of i-[0-9a-f]+ since [0-9.]+ m?s after the notice, with [0-9.]+ s left/)
  const steps = page.getByRole('region', { name: 'Steps' })
  for (const what of ['notice seen', 'row durable', 'judged', 'replica: starting', 'roles changed, epoch 0 → 1']) await expect(steps.getByRole('cell', { name: what, exact: true })).toBeVisible()
  await expect(steps.getByText(/from .+ \(door (http|eventbridge)\)/).first()).toBeVisible() // whichever was first
  await expect(steps.getByRole('cell', { name: /^launch in [a-z0-9]+\./ }).first()).toBeVisible()
  expect(Number(await page.locator('.waterfall svg').getAttribute('data-rows'))).toBeGreaterThan(8)
  await page.getByRole('button', { name: /To the new primary/ }).click()
  await expect(page.getByRole('button', { name: /To the new primary/ })).toHaveAttribute('aria-pressed', 'true')
  failover = new URL(page.url()).pathname
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download post-mortem' }).click()])
  expect(file.suggestedFilename()).toMatch(/^termination-.*\.md$/)
  await expect(page.getByRole('link', { name: 'Open in Temporal' })).toHaveAttribute('href', new RegExp('/namespaces/.+/workflows/termination%2F'))
})

test('a standby is promoted', async ({ page }) => {
  await boot(s, tenant, depot)
  await open(page, '/agents/' + depot.id)
  await page.getByRole('button', { name: 'Promote …' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog).toContainText(`leads instead of ${depot.instance}; the epoch goes from 0 to 1`)
  await dialog.getByRole('button', { name: 'Promote' }).click()
  await expect(page.locator('.node.primary')).not.toContainText(depot.instance)
  await expect(page.getByText('epoch 1', { exact: true })).toBeVisible()
  await expect(page.locator('.node.standby')).toContainText(depot.instance)
})

test('a switch is forced, watched and called off', async ({ page }) => {
  await setDelays(s, 600) // it is not to end before it is called off
  await open(page, '/agents/' + depot.id)
  await page.getByRole('button', { name: 'Switch …' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog.getByRole('button', { name: 'Move it' })).toBeDisabled()
  await expect(dialog.getByLabel('To').getByRole('option')).not.toHaveCount(2)
  await dialog.getByLabel('To').selectOption({ index: 1 })
  await expect(dialog).toContainText('for that time both are paid')
  await dialog.getByRole('button', { name: 'Move it' }).click()
  await page.getByRole('link', { name: 'Watch it' }).click()
  await expect(page.getByRole('region', { name: 'Steps' }).getByText(/launch/).first()).toBeVisible()
  await page.getByRole('button', { name: 'Call off …' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Call off' }).click()
  await expect(page.getByTestId('verdict')).toContainText('The operation was cancelled')
  await setDelays(s, 2)
})

test('an agent and the whole fleet are paused with an end, and go on', async ({ page }) => {
  await open(page, '/agents/' + shop.id)
  await page.getByRole('button', { name: 'Pause …' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('Until').selectOption('15')
  await dialog.getByLabel('Reason').fill('looking at it')
  await dialog.getByRole('button', { name: 'Pause' }).click()
  await expect(page.getByText('paused (agent)').first()).toBeVisible()
  await page.getByRole('button', { name: 'Resume …' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Resume' }).click()
  await expect(page.getByText('paused (agent)')).toHaveCount(0)

  await open(page, '/')
  await page.getByRole('button', { name: 'Pause all moves …' }).click()
  await expect(page.getByRole('alertdialog').getByRole('button', { name: 'Pause all' })).toBeDisabled()
  await page.getByRole('alertdialog').getByLabel('Reason').fill('AWS has trouble')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Pause all' }).click()
  const pauses = page.getByRole('region', { name: 'Pauses that hold' }).last()
  await expect(pauses).toContainText('all clients')
  await expect(pauses).toContainText('operator:ada')
  await pauses.getByRole('button', { name: 'Resume' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Resume' }).click()
  await expect(page.getByText('Nothing is paused.')).toBeVisible()
})

test('several agents are chosen and paused together', async ({ page }) => {
  await open(page, '/fleet?client=' + tenant.id)
  await page.getByLabel('choose depot').check()
  await page.getByLabel('choose shop').check()
  await page.getByRole('button', { name: 'Pause 2 agents …' }).click()
  await page.getByRole('alertdialog').getByLabel('Reason').fill('release')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Pause' }).click()
  await expect(page.getByText('2 agents paused.')).toBeVisible()
  await page.getByLabel('Needs').selectOption('pause')
  await expect(page).toHaveURL(/needs=pause/)
  await expect(page.getByText('paused (agent)')).toHaveCount(2)
  await operator(s, 'POST', '/api/fleet/resume', { agent_ids: [shop.id, depot.id] })
})

test('a job is run, and what it computed is shown', async ({ page }) => {
  await open(page, '/jobs')
  const row = page.getByRole('region', { name: 'Schedules' }).last().getByRole('row').filter({ hasText: 'monthly-savings' })
  await row.getByRole('button', { name: 'Run now …' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Run now' }).click()
  await expect(row.getByText('succeeded')).toBeVisible()
  await page.getByRole('link', { name: 'Savings' }).click()
  await expect(page.getByRole('region', { name: 'By client and month' }).getByRole('link', { name: 'Acme Streaming' })).toBeVisible()
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download CSV' }).click()])
  expect(file.suggestedFilename()).toBe('savings.csv')
})

test('a client is created, and three steps lead to its first agent', async ({ page }) => {
  await open(page, '/clients')
  await page.getByRole('button', { name: 'Create a client …' }).click()
  await page.getByRole('alertdialog').getByLabel('Name').fill('Contoso')
  await page.getByRole('alertdialog').getByRole('button', { name: 'Create' }).click()
  await expect(page.getByRole('heading', { name: 'Three steps to the first agent' })).toBeVisible()
  await page.getByRole('button', { name: 'Show the token' }).click()
  const token = await page.getByLabel('token', { exact: true }).innerText()
  await expect(page.getByLabel('commands')).toContainText(token)
  await register(s, token)
  await page.reload()
  await expect(page.getByText('agents have registered')).toBeVisible()
})

test('everything that was changed is in the audit with who asked', async ({ page }) => {
  await open(page, '/audit')
  const entries = page.getByRole('region', { name: 'Entries' }).last()
  await expect(entries.getByText('client created').first()).toBeVisible()
  await expect(entries.getByText('operator:ada').first()).toBeVisible()
  await page.getByLabel('Text or name').fill('Contoso')
  await expect(page).toHaveURL(/q=Contoso/)
  await expect(entries.getByText('moves paused')).toHaveCount(0)
})

test('a connection that is lost is told, and goes on where it stopped', async ({ page }) => {
  await open(page, '/')
  await until('an event', async () => (await page.evaluate(() => performance.now())) > 0)
  killApi(s)
  await expect(page.getByText(/Connection lost .* ago: what you see may be old/)).toBeVisible()
  await expect(page.locator('[data-link="lost"]')).toBeVisible()
  await startApi(s)
  await expect(page.locator('[data-link="live"]')).toBeVisible({ timeout: 20_000 })
  await expect(page.getByText(/Connection lost/)).toHaveCount(0)
})

test('everything is reached from the keyboard', async ({ page }) => {
  await open(page, '/')
  await page.keyboard.press('Control+k')
  await page.keyboard.type('depot')
  await expect(page.getByRole('option', { name: /depot/ }).first()).toBeVisible()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('heading', { level: 1, name: 'depot' })).toBeVisible()
  await page.getByRole('link', { name: 'Skip to the page' }).focus()
  await page.keyboard.press('Enter')
  const pause = page.getByRole('button', { name: 'Pause …' })
  for (let i = 0; i < 12 && !(await pause.evaluate((b) => b === document.activeElement)); i++) await page.keyboard.press('Tab')
  await expect(pause).toBeFocused()
  await page.keyboard.press('Enter')
  await expect(page.getByRole('alertdialog')).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(pause).toBeFocused()
  await page.keyboard.press('Enter')
  for (let i = 0; i < 6 && !(await page.getByLabel('Reason').evaluate((b) => b === document.activeElement)); i++) await page.keyboard.press('Tab')
  await page.keyboard.type('by keyboard')
  await page.keyboard.press('Enter')
  await expect(page.getByText('paused (agent)').first()).toBeVisible()
})

const pages = () => ({
  now: '/', fleet: '/fleet', agent: '/agents/' + depot.id, failover, operations: '/operations', pools: '/pools?pool=c5.large.us-east-1a', savings: '/savings', rollouts: '/rollouts',
  decisions: '/decisions', approvals: '/approvals', failovers: '/failovers', jobs: '/jobs', clients: '/clients', client: '/clients/' + tenant.id, audit: '/audit', system: '/system',
})

// The rows of a table are made of the same cells: the first of them stand for all.
const alike = 'tbody tr:nth-child(n+5)'
const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

for (const scheme of ['light', 'dark'] as const) {
  test(`no page has an accessibility problem in the ${scheme} theme`, async ({ page }) => {
    test.setTimeout(240_000)
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' })
    const found: string[] = []
    for (const [name, path] of Object.entries(pages())) {
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      const { violations } = await new AxeBuilder({ page }).exclude(alike).options({ runOnly: rules, resultTypes: ['violations'] }).analyze()
      found.push(...violations.map((v) => `${name}: ${v.id}: ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(' | ')}`))
    }
    expect(found).toEqual([])
  })
}

test('the pages are pictured, and no page is wider than a telephone', async ({ page }) => {
  test.setTimeout(180_000)
  const looked = join(import.meta.dirname, '../test-results/pictures'), kept = join(import.meta.dirname, '../../../docs/console')
  mkdirSync(looked, { recursive: true })
  const inDocs = process.env.SCREENSHOTS ? ['now', 'fleet', 'agent', 'failover', 'pools', 'jobs'] : []
  for (const [name, path] of Object.entries(pages())) {
    for (const width of [1440, 360]) {
      await page.setViewportSize({ width, height: 900 })
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at ${width}`).toBeLessThanOrEqual(width)
      await page.screenshot({ path: join(looked, `${name}-${width}.png`), fullPage: true })
      if (inDocs.includes(name)) await page.screenshot({ path: join(kept, `${name}-${width}.jpg`), type: 'jpeg', quality: 72 })
    }
  }
})

test('no page is wider than the window, from a telephone to the widest screen', async ({ page }) => {
  test.setTimeout(120_000)
  for (const width of [360, 2560]) {
    await page.setViewportSize({ width, height: 1000 })
    for (const [name, path] of Object.entries(pages())) {
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      expect(await page.evaluate(() => document.documentElement.scrollWidth), `${name} at ${width}`).toBeLessThanOrEqual(width)
    }
  }
})

test('two clicks lead from the first page to why an instance moved and what that cost', async ({ page }) => {
  let clicks = 0
  await page.exposeFunction('countClick', () => clicks++)
  await page.addInitScript(() => window.addEventListener('click', () => void (window as unknown as { countClick: () => void }).countClick(), true))
  const why = page.getByTestId('why'), cost = page.getByRole('region', { name: 'What it cost' })

  await open(page, '/') // a failover
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Failovers' }).click()
  await page.getByRole('region', { name: 'Each of them, newest first' }).getByRole('row').filter({ hasText: 'shop' }).getByRole('link').first().click()
  await expect(page.getByTestId('verdict')).toContainText(/leads instead of/)
  await expect(why).toHaveText(/^AWS announced the end of i-[0-9a-f]+\. Spotkeeper heard of it first from /)
  await expect(cost).toContainText(/\$[0-9.]+for [0-9a-z. ]+ in which both ran/)
  await expect(cost).toContainText('the primary before')
  expect(clicks).toBe(2)

  clicks = 0
  await open(page, '/') // a move that a person asked for
  await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Operations' }).click()
  await page.getByRole('row').filter({ hasText: 'depot' }).getByRole('link', { name: 'switch' }).first().click()
  await expect(why).toHaveText(/asked for it|ordered by/)
  expect(clicks).toBe(2)
})

test('the waterfall is read to its end', async ({ page }) => {
  test.setTimeout(90_000)
  await open(page, failover)
  await expect(page.getByTestId('verdict')).toContainText('The operation has ended.', { timeout: 75_000 })
  await expect(page.getByRole('cell', { name: 'operation ended' })).toBeVisible()
  await expect(page.getByRole('cell', { name: /^i-[0-9a-f]+ is gone$/ })).toBeVisible()
  await expect(page.getByText('succeeded').first()).toBeVisible()
  expect(complaints).toEqual([])
})
