import { expect, test, type BrowserContext, type Page } from '@playwright/test'
import { createTenant, operator, register, startAgent, wantStandby, type Agent, type Tenant } from './fleet'
import { startProxy } from './proxy'
import { sessionFile } from './setup'
import { killApi, operatorToken, readStack, startApi, until, type Stack } from './stack'

// What goes wrong at a desk: sessions that end, links of others, second tabs, names of every kind.
test.describe.configure({ mode: 'serial' })

let s: Stack
let tenant: Tenant
let silo: Agent

test.beforeAll(async () => {
  s = readStack()
  tenant = await createTenant(s, 'Tailspin ' + Date.now())
  silo = await startAgent(s, tenant, 'silo', 'c5.large', 'us-east-1a')
})

const open = async (page: Page, path: string) => {
  await page.goto(s.base + path)
  await expect(page.locator('[data-link="live"]')).toBeVisible()
}

const posts = (page: Page, path: RegExp): string[] => {
  const seen: string[] = []
  page.on('request', (r) => { if (r.method() === 'POST' && path.test(r.url())) seen.push(r.url()) })
  return seen
}

const pauseDialog = async (page: Page, reason: string) => {
  await page.getByRole('button', { name: 'Pause …' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('Reason').fill(reason)
  return dialog
}

const resume = () => operator(s, 'POST', '/api/fleet/resume', { agent_ids: [silo.id] })

test.describe('with a session', () => {
  test.use({ storageState: sessionFile })

  test('back and forward walk through filters, and typing is one step', async ({ page }) => {
    await open(page, '/operations')
    await page.getByLabel('Kind').selectOption('replica')
    await expect(page).toHaveURL(/kind=replica$/)
    await page.getByLabel('State').selectOption('running')
    await expect(page).toHaveURL(/kind=replica&state=running$/)
    await page.goBack()
    await expect(page).toHaveURL(/kind=replica$/)
    await expect(page.getByLabel('State')).toHaveValue('')
    await page.goForward()
    await expect(page.getByLabel('State')).toHaveValue('running')

    await open(page, '/fleet')
    await page.getByLabel('Name or id').pressSequentially('silo')
    await expect(page).toHaveURL(/q=silo$/)
    await expect(page.getByLabel('Name or id')).toHaveValue('silo')
    await page.getByRole('link', { name: 'silo' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'silo' })).toBeVisible()
    expect(await page.title()).toBe('silo · Spotkeeper')
    await page.goBack()
    await expect(page).toHaveURL(/q=silo$/)
    await expect(page.getByLabel('Name or id')).toHaveValue('silo')
    await page.goBack()
    await expect(page).toHaveURL(/\/fleet$/)
    await expect(page.getByLabel('Name or id')).toHaveValue('')
  })

  test('a page begins at its top, wherever the page before was', async ({ page }) => {
    await page.setViewportSize({ width: 900, height: 400 })
    await open(page, '/agents/' + silo.id)
    await page.getByRole('region', { name: 'Settings' }).scrollIntoViewIfNeeded()
    expect(await page.evaluate(() => window.scrollY)).toBeGreaterThan(100)
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Savings' }).click()
    await expect(page.getByRole('heading', { level: 1, name: 'Savings' })).toBeVisible()
    expect(await page.evaluate(() => window.scrollY)).toBe(0)
    await expect(page.locator('#content')).toBeFocused()
  })

  test('every page is the same after a reload', async ({ page }) => {
    test.setTimeout(180_000)
    const operations = await operator<{ operations: { id: string }[] }>(s, 'GET', '/api/operations?limit=1')
    for (const path of [
      '/', '/fleet?status=online', '/agents/' + silo.id, '/operations?kind=replica', '/operations/' + encodeURIComponent(operations.operations[0]!.id), '/failovers?days=7', '/pools?pool=c5.large.us-east-1a',
      '/savings?months=3', '/decisions?hours=6', '/approvals?state=pending', '/rollouts', '/jobs', '/clients', '/clients/' + tenant.id, '/audit?by=all', '/system',
    ]) {
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      await expect(page.getByRole('heading', { level: 1 })).not.toHaveText(/^[0-9a-f]{8}$/) // the name is read after the id
      const heading = await page.getByRole('heading', { level: 1 }).innerText()
      await page.reload()
      await expect(page.getByRole('heading', { level: 1 })).toHaveText(heading)
      expect(page.url()).toBe(s.base + path)
      await expect(page.getByText(/This page failed|There is no such page/)).toHaveCount(0)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      await expect(page.locator('main')).not.toContainText(/NaN|undefined|Infinity|\[object|Invalid Date/)
    }
  })

  test('an action that is clicked twice is sent once', async ({ page }) => {
    await open(page, '/agents/' + silo.id)
    const sent = posts(page, /\/pause$/)
    const dialog = await pauseDialog(page, 'twice')
    await dialog.getByRole('button', { name: 'Pause' }).dblclick()
    await expect(page.getByText('paused (agent)').first()).toBeVisible()
    expect(sent).toHaveLength(1)
    await resume()
  })

  test('a second tab shows what the first one changed', async ({ page, context }) => {
    const other = await context.newPage()
    await open(other, '/agents/' + silo.id)
    await open(page, '/agents/' + silo.id)
    const dialog = await pauseDialog(page, 'from the first tab')
    await dialog.getByRole('button', { name: 'Pause' }).click()
    await expect(other.getByText('paused (agent)').first()).toBeVisible() // by the clock it would be read within a minute
    await other.getByRole('button', { name: 'Resume …' }).click()
    await other.getByRole('alertdialog').getByRole('button', { name: 'Resume' }).click()
    await expect(page.getByRole('button', { name: 'Pause …' })).toBeVisible()
    await other.close()
  })

  test('an api that dies during an action leaves the dialog open, and the action can be sent again', async ({ page }) => {
    await open(page, '/agents/' + silo.id)
    const dialog = await pauseDialog(page, 'the api dies')
    killApi(s)
    await until('the end of the api', async () => fetch(s.base + '/health').then(() => false, () => true))
    await dialog.getByRole('button', { name: 'Pause' }).click()
    await expect(dialog.getByRole('alert')).toContainText('The API does not answer.')
    await expect(dialog.getByLabel('Reason')).toHaveValue('the api dies')
    await startApi(s)
    await dialog.getByRole('button', { name: 'Pause' }).click()
    await expect(page.getByRole('alertdialog')).toHaveCount(0)
    await expect(page.getByText('paused (agent)').first()).toBeVisible()
    await resume()
  })

  test('a stream that is cut is resumed after the last event that was seen', async ({ page }) => {
    const proxy = await startProxy(s.base)
    await page.goto(proxy.base + '/agents/' + silo.id)
    await expect(page.locator('[data-link="live"]')).toBeVisible()
    await wantStandby(s, tenant, silo)
    await expect(page.locator('.node.standby')).toBeVisible() // an event said so
    proxy.cut()
    await expect(page.getByText(/Connection lost .* ago: what you see may be old/)).toBeVisible()
    await operator(s, 'POST', '/api/fleet/pause', { agent_ids: [silo.id], minutes: 15, reason: 'while the stream is cut' })
    const again = page.waitForRequest((r) => /\/api\/admin\/events\?after=[0-9]{10,}$/.test(r.url()))
    proxy.mend()
    await again
    await expect(page.locator('[data-link="live"]')).toBeVisible()
    await expect(page.getByText('paused (agent)').first()).toBeVisible()
    await expect(page.getByText(/Connection lost/)).toHaveCount(0)
    proxy.close()
    await resume()
  })

  test('a connection that ends without a word is noticed, and said', async ({ page }) => {
    const proxy = await startProxy(s.base)
    await page.clock.install()
    await page.goto(proxy.base + '/')
    await expect(page.locator('[data-link="live"]')).toBeVisible()
    proxy.freeze()
    await page.clock.fastForward('00:45')
    await expect(page.getByText(/Connection lost .* ago: what you see may be old/)).toBeVisible()
    proxy.mend()
    await expect(page.locator('[data-link="live"]')).toBeVisible()
    proxy.close()
  })

  test('a page that is held still reads nothing until it goes on', async ({ page }) => {
    await page.clock.install()
    for (const path of ['/', '/jobs', '/system']) {
      await page.goto(s.base + path)
      await expect(page.locator('[data-link="live"]')).toBeVisible()
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      await page.getByRole('button', { name: 'Hold still' }).click()
      await expect(page.locator('[data-link="paused"]')).toBeVisible()
      await page.waitForLoadState('networkidle') // what was asked before has been answered
      const asked: string[] = []
      page.on('request', (r) => asked.push(new URL(r.url()).pathname))
      await page.clock.fastForward('05:00')
      await page.evaluate(() => fetch('/health')) // what an interval has begun was asked before this
      expect(asked, path).toEqual(['/health'])
      await page.getByRole('button', { name: 'Go on' }).click()
      await expect(page.locator('[data-link="live"]')).toBeVisible()
      page.removeAllListeners('request')
    }
  })

  test('a dialog keeps the focus, and gives it back to its button', async ({ page }) => {
    await open(page, '/agents/' + silo.id)
    for (const name of ['Switch …', 'Pause …', 'Retire …', 'Disable …']) {
      const button = page.getByRole('button', { name })
      await button.focus()
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('alertdialog')
      await expect(dialog).toBeVisible()
      for (let i = 0; i < 8; i++) {
        await page.keyboard.press('Tab')
        expect(await dialog.evaluate((d) => d.contains(document.activeElement)), `${name} after ${i + 1} tabs`).toBe(true)
      }
      await page.keyboard.press('Escape')
      await expect(dialog).toHaveCount(0)
      await expect(button).toBeFocused()
    }
  })

  test('names that are long, from right to left or pictures stay inside their page', async ({ page }) => {
    test.setTimeout(120_000)
    const odd = await createTenant(s, 'Wide ' + 'w'.repeat(200) + Date.now())
    const names = ['x'.repeat(240), 'שרת הזמנות (ראשי)', '🚀🛰️👩‍🚀 ünïcode', '<b>bold</b> & "quoted"', '-'.repeat(12) + ' words'.repeat(20)]
    for (const [i, name] of names.entries()) await register(s, odd.token, name, `i-0fedcba987654${3200 + i}`)
    const list = await operator<{ agents: { id: string; name: string }[] }>(s, 'GET', '/api/fleet?client_id=' + odd.id)
    expect(list.agents.map((a) => a.name).sort()).toEqual([...names].sort())
    const paths = ['/', '/fleet?client=' + odd.id, '/clients', '/clients/' + odd.id, '/audit?by=all', ...list.agents.map((a) => '/agents/' + a.id)]
    for (const width of [360, 1280]) {
      await page.setViewportSize({ width, height: 900 })
      for (const path of paths) {
        await open(page, path)
        await expect(page.getByText(/^Reading /)).toHaveCount(0)
        expect(await page.evaluate(() => document.documentElement.scrollWidth), `${path} at ${width}`).toBeLessThanOrEqual(width)
      }
    }
    await open(page, '/fleet?client=' + odd.id)
    for (const name of names) await expect(page.getByRole('link', { name, exact: true })).toBeVisible()
    await page.keyboard.press('Control+k')
    await page.keyboard.type('שרת')
    await expect(page.getByRole('option', { name: /שרת הזמנות/ }).first()).toBeVisible()
  })

  test('at 200 % every page has its width, its pages and its way out', async ({ page }) => {
    test.setTimeout(120_000)
    await page.setViewportSize({ width: 640, height: 450 }) // 1280 × 900, twice as large
    for (const path of ['/', '/fleet', '/agents/' + silo.id, '/operations', '/failovers', '/pools', '/savings', '/decisions', '/approvals', '/rollouts', '/jobs', '/clients/' + tenant.id, '/audit', '/system']) {
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      expect(await page.evaluate(() => document.documentElement.scrollWidth), path).toBeLessThanOrEqual(640)
    }
    await expect(page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Fleet' })).toBeVisible()
    await expect(page.getByRole('button', { name: 'Log out' })).toBeVisible()
    await open(page, '/agents/' + silo.id)
    const dialog = await pauseDialog(page, 'large letters')
    const confirm = dialog.getByRole('button', { name: 'Pause' })
    await confirm.scrollIntoViewIfNeeded()
    await expect(confirm).toBeInViewport()
    await dialog.getByRole('button', { name: 'Not now' }).click()
  })

  test('nothing moves for those who asked for that', async ({ page }) => {
    const moving = () => page.evaluate(() => document.getAnimations().length + [...document.querySelectorAll('*')].filter((e) => parseFloat(getComputedStyle(e).transitionDuration) > 0).length)
    await operator(s, 'POST', '/api/admin/schedules/monthly-savings/trigger', {})
    await page.emulateMedia({ reducedMotion: 'reduce' })
    for (const path of ['/', '/operations', '/jobs']) {
      await open(page, path)
      await expect(page.getByText(/^Reading /)).toHaveCount(0)
      expect(await moving(), path).toBe(0)
    }
  })
})

const signIn = async (context: BrowserContext, next: string): Promise<Page> => {
  const page = await context.newPage()
  await page.goto(s.base + '/login?next=' + encodeURIComponent(next))
  await page.getByLabel(/token/i).fill(operatorToken)
  await page.getByRole('button', { name: /log in|sign in/i }).click()
  return page
}

test('a deep link without a session leads through the login to its page', async ({ page }) => {
  const { operations } = await operator<{ operations: { id: string }[] }>(s, 'GET', '/api/operations?limit=1')
  for (const path of ['/operations/' + encodeURIComponent(operations[0]!.id), '/agents/' + silo.id, '/audit?by=all&q=Tailspin']) {
    await page.context().clearCookies()
    await page.goto(s.base + path)
    await expect(page).toHaveURL(/\/login\?next=/)
    await page.getByLabel(/token/i).fill(operatorToken)
    await page.getByRole('button', { name: /log in|sign in/i }).click()
    await expect(page).toHaveURL(s.base + path)
    await expect(page.getByText(/This page failed|There is no such page/)).toHaveCount(0)
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible()
  }
})

test('a session that ends while a dialog is open does nothing, and the login leads back', async ({ browser }) => {
  const context = await browser.newContext()
  const page = await signIn(context, '/agents/' + silo.id)
  await expect(page.locator('[data-link="live"]')).toBeVisible()
  const dialog = await pauseDialog(page, 'the session ends')
  const sent = posts(page, /\/pause$/)
  await context.clearCookies()
  await dialog.getByRole('button', { name: 'Pause' }).click()
  await expect(page).toHaveURL(new RegExp('/login\\?next=' + encodeURIComponent('/agents/' + silo.id)))
  expect(sent).toHaveLength(1)
  await page.getByLabel(/token/i).fill(operatorToken)
  await page.getByRole('button', { name: /log in|sign in/i }).click()
  await expect(page).toHaveURL(s.base + '/agents/' + silo.id)
  await expect(page.getByRole('button', { name: 'Pause …' })).toBeVisible()
  await context.close()
})

test('a tenant who opens an operator’s link reads what it is', async ({ page }) => {
  const made = await operator<{ token: string }>(s, 'POST', `/api/client/${tenant.id}/credentials`, { kind: 'tenant', name: 'a tenant', scope: 'admin' })
  await page.goto(s.base + '/login?next=%2Fjobs#token=' + made.token)
  await expect(page).toHaveURL(s.base + '/jobs')
  for (const path of ['/jobs', '/clients', '/system', '/rollouts']) {
    await open(page, path)
    await expect(page.getByRole('heading', { level: 1, name: 'This page is for operators' })).toBeVisible()
    await expect(page.getByRole('alert')).toHaveCount(0)
  }
  const { clients } = { clients: await operator<{ id: string; name: string }[]>(s, 'GET', '/api/admin/clients') }
  const other = clients.find((c) => c.id !== tenant.id)!
  await page.goto(s.base + '/clients/' + other.id)
  await expect(page.getByRole('alert').first()).toBeVisible()
  await expect(page.locator('main')).not.toContainText(other.name)
  await page.keyboard.press('Control+k')
  await page.keyboard.type('jobs')
  await expect(page.getByText('Nothing has this name or id.')).toBeVisible()
})

test('a client without agents finds empty pages that say what to do', async ({ page }) => {
  test.setTimeout(120_000)
  const none = await createTenant(s, 'Without agents ' + Date.now())
  const made = await operator<{ token: string }>(s, 'POST', `/api/client/${none.id}/credentials`, { kind: 'tenant', name: 'first', scope: 'admin' })
  await page.goto(s.base + '/login?next=%2F#token=' + made.token)
  await expect(page).toHaveURL(s.base + '/')
  for (const path of ['/', '/fleet', '/operations', '/failovers', '/pools', '/savings', '/decisions', '/approvals', '/audit?by=all', '/clients/' + none.id]) {
    await open(page, path)
    await expect(page.getByText(/^Reading /)).toHaveCount(0)
    await expect(page.locator('main')).not.toContainText(/NaN|undefined|Infinity|\[object/)
    await expect(page.getByRole('alert')).toHaveCount(0)
  }
  await open(page, '/fleet')
  await expect(page.getByText('No agent has registered yet.')).toBeVisible()
})
