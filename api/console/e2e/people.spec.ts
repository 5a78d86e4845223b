import { expect, test } from '@playwright/test'
import { createTenant, operator, startAgent, type Tenant } from './fleet'
import { readStack, viewerToken, type Stack } from './stack'

// Who may see and do what: a tenant sees its own, and a viewer changes nothing.
test.describe.configure({ mode: 'serial' })

let s: Stack
let tenant: Tenant, other: Tenant

test.beforeAll(async () => {
  s = readStack()
  tenant = await createTenant(s, 'Southwind')
  other = await createTenant(s, 'Eastwind')
  await startAgent(s, tenant, 'harbour', 'c5.large', 'us-east-1a')
  await startAgent(s, other, 'lighthouse', 'c5.large', 'us-east-1a')
})

const makeToken = (scope: string) =>
  operator<{ id: string; token: string }>(s, 'POST', `/api/client/${tenant.id}/credentials`, { kind: 'tenant', name: 'desk', scope })

test('a tenant opens a link, sees its own fleet, and is out when its token is revoked', async ({ page }) => {
  const made = await makeToken('operate')
  await page.goto(s.base + '/login?next=%2Ffleet#token=' + made.token)
  await expect(page).toHaveURL(s.base + '/fleet')
  await expect(page.locator('[data-link="live"]')).toBeVisible()
  await expect(page.getByRole('link', { name: 'harbour' })).toBeVisible()
  await expect(page.getByRole('link', { name: 'lighthouse' })).toHaveCount(0)
  const pages = page.getByRole('navigation', { name: 'Pages' })
  await expect(pages.getByRole('link', { name: 'Clients' })).toHaveCount(0)
  await expect(page.getByText('Southwind, scope operate')).toBeVisible()
  const cookie = (await page.context().cookies()).find((c) => c.name === 'spotkeeper_session')
  expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' })
  for (const path of ['/api/admin/clients', `/api/client/${other.id}`]) expect((await page.request.get(s.base + path)).ok()).toBe(false)

  await page.getByRole('link', { name: 'harbour' }).click()
  await page.getByRole('button', { name: 'Pause …' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('Reason').fill('we look at it')
  await dialog.getByRole('button', { name: 'Pause' }).click()
  await expect(page.getByText('paused (agent)').first()).toBeVisible()
  await expect(page.getByRole('button', { name: 'Retire …' })).toBeDisabled()
  await expect(page.getByText('Your token has the scope operate, which does not allow this.').first()).toBeAttached()

  await pages.getByRole('link', { name: 'Tokens and webhooks' }).click()
  await expect(page.getByRole('region', { name: 'Tokens' }).getByRole('cell', { name: 'desk' })).toBeVisible()
  await operator(s, 'DELETE', `/api/client/${tenant.id}/credentials/${made.id}`)
  await expect(page).toHaveURL(/\/login\?next=/)
})

test('a tenant makes a token for a colleague, whose link logs in', async ({ page, browser }) => {
  await page.goto(s.base + '/login?next=' + encodeURIComponent('/clients/' + tenant.id) + '#token=' + (await makeToken('admin')).token)
  await page.getByRole('button', { name: 'Make a token …' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('Name').fill('a colleague')
  await dialog.getByLabel('It may').selectOption('Look at everything')
  await dialog.getByRole('button', { name: 'Make it' }).click()
  const link = (await page.getByText('/login#token=spk-tenant-').textContent())!.trim()
  const colleague = await browser.newPage()
  await colleague.goto(link)
  await expect(colleague.getByText('You may look at everything here, and change nothing.')).toBeVisible()
  await expect(colleague.getByText('Southwind, scope read')).toBeVisible()
  await colleague.getByRole('button', { name: 'Log out' }).click()
  await expect(colleague).toHaveURL(/\/login/)
  await colleague.close()
})

test('a viewer sees everything but secrets, and why it changes nothing', async ({ page }) => {
  await page.goto(s.base + '/login#token=' + viewerToken)
  await expect(page.getByText('vera, viewer')).toBeVisible()
  const pause = page.getByRole('button', { name: 'Pause all moves …' })
  await expect(pause).toBeDisabled()
  await expect(pause).toHaveAccessibleDescription('Your role, viewer, does not allow this. Ask an admin of this deployment.')
  await page.goto(s.base + '/clients/' + tenant.id)
  await expect(page.getByRole('button', { name: 'Show the token' })).toBeDisabled()
  await expect(page.getByRole('button', { name: 'Remove …' })).toBeDisabled()
  expect((await page.request.get(s.base + `/api/admin/clients/${tenant.id}/token`)).status()).toBe(403)
  await page.goto(s.base + '/system')
  const logins = page.getByRole('region', { name: 'Who is logged in' })
  await expect(logins.getByRole('cell', { name: 'vera' })).toBeVisible()
  await expect(logins.getByRole('button', { name: 'End …' }).first()).toBeDisabled()
})
