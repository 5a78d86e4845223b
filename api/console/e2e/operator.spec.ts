import { expect, test, type Download, type Page } from '@playwright/test'
import { readFileSync } from 'node:fs'
import { createTenant, operator, startAgent, type Agent, type Tenant } from './fleet'
import { sessionFile } from './setup'
import { readStack, until, type Stack } from './stack'

// What an operator does besides watching: models, pools, decisions, and what waits for a person.
// No test needs another one.
test.use({ storageState: sessionFile })

let s: Stack
let tenant: Tenant
let ledger: Agent

test.beforeAll(async () => {
  s = readStack()
  tenant = await createTenant(s, 'Fabrikam ' + Date.now())
  ledger = await startAgent(s, tenant, 'ledger', 'c5.large', 'us-east-1b')
})

const open = async (page: Page, path: string) => {
  await page.goto(s.base + path)
  await expect(page.locator('[data-link="live"]')).toBeVisible()
}

const csvOf = async (page: Page, region: string): Promise<string[]> => {
  const [file]: [Download, void] = await Promise.all([page.waitForEvent('download'), page.getByRole('region', { name: region }).last().getByRole('button', { name: 'Download CSV' }).click()])
  return readFileSync((await file.path())!, 'utf8').trimEnd().split('\r\n')
}

test('a model is uploaded, rolled out by stages and rolled back', async ({ page }) => {
  await open(page, '/rollouts')
  await page.getByRole('button', { name: 'Upload a model …' }).click()
  const dialog = page.getByRole('alertdialog')
  await dialog.getByLabel('File').setInputFiles({
    name: 'engine.py', mimeType: 'text/x-python',
    buffer: Buffer.from('def make_decision(agent_data, pricing_data, market_data=None):\n    return {"decision_type": "stay", "risk_score": 0.1, "expected_savings": 0, "confidence": 0.5, "reason": "it may stay"}\n'),
  })
  await dialog.getByRole('button', { name: 'Upload' }).click()
  const row = page.getByRole('region', { name: 'Models' }).last().getByRole('row').filter({ hasText: 'engine.py' })
  await row.getByRole('button', { name: 'Roll out …' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Begin' }).click()
  const under = page.getByRole('region', { name: /^Under way: / })
  const stage = under.locator('.chip').first()
  await expect(stage).toHaveText(/shadow/, { timeout: 30_000 })
  await expect(under.getByText(/Agrees with what is live in/)).toBeVisible()
  const act = async (name: string) => {
    await under.getByRole('button', { name: name + ' …', exact: true }).click()
    await page.getByRole('alertdialog').getByRole('button', { name: 'Do it' }).click()
  }
  await act('Pause')
  await expect(stage).toHaveClass(/warn/)
  await act('Resume')
  await act('Next stage')
  await expect(stage).toHaveText(/canary/)
  await expect(under.getByText(/[1-9][0-9]? % of agents/)).toBeVisible()
  await act('Roll back')
  await expect(page.getByText('No rollout is under way.')).toBeVisible()
  await expect(page.getByRole('region', { name: 'Past rollouts' }).last().getByRole('cell', { name: 'rolled back by operator:ada' })).toBeVisible()
})

test('decisions are shown with what held moves back, as numbers too', async ({ page }) => {
  await operator(s, 'POST', '/api/admin/schedules/fleet-decisions/trigger', {})
  await open(page, '/decisions')
  await until('a run', async () => {
    await page.reload()
    return (await page.getByRole('region', { name: 'Runs' }).count()) > 0
  }, 60)
  await expect(page.getByRole('region', { name: 'Live against shadow' }).last().getByRole('cell', { name: /^rules/ }).first()).toBeVisible()
  const runs = await csvOf(page, 'Runs')
  expect(runs[0]).toBe('Run,State,Agents,Stay,Move,Held back,Lapsed,Failed,Shadow,"Took, ms",Held back by')
  expect(runs.length).toBeGreaterThan(1)
  await page.getByLabel('Span').selectOption('6')
  await expect(page).toHaveURL(/hours=6/)
})

test('failovers are measured against the two minutes', async ({ page }) => {
  await open(page, '/failovers')
  await expect(page.getByTestId('distribution')).toHaveAttribute('aria-label', /: [1-9]/)
  const list = await csvOf(page, 'Each of them, newest first')
  expect(list[0]).toBe('Notice,Agent,Client,Outcome,"Took, ms","Left, ms",Successor,"Ready after, ms",First heard from,Pool')
  const took = list.slice(1).map((l) => Number(/,promoted,([0-9.]+),/.exec(l)?.[1])).filter((n) => n > 0)
  expect(took.length).toBeGreaterThan(0)
  console.log(`failovers: ${took.length}, in milliseconds: ${took.map((n) => n.toFixed(0)).join(', ')}`)
  const buckets = await csvOf(page, 'The distribution as a table')
  expect(buckets.at(-1)).toMatch(/^"over 2 m, or lost",[0-9]+$/)
  await page.getByRole('button', { name: /^Only / }).first().click()
  await expect(page).toHaveURL(/client=/)
})

test('recommendations that came true are counted, with the time between', async ({ page }) => {
  await open(page, '/pools')
  const rows = await csvOf(page, 'Recommendations that came true')
  expect(rows[0]).toBe('Pool,Recommendations,Came true,Share,"Notice came after, median, s",Notices,Without a recommendation')
  expect(rows.length).toBeGreaterThan(1)
  for (const row of rows.slice(1).filter((r) => r !== '')) {
    const [, told, came, , , notices, bare] = row.split(',').map(Number)
    expect(came).toBeLessThanOrEqual(told!)
    expect(bare).toBe(Math.max(0, notices! - came!))
  }
})

test('a pool is blocked with a reason and an end, which explain says, and opened again', async ({ page }) => {
  const pool = 'c5.large.us-east-1d'
  await open(page, '/pools?pool=' + pool)
  await page.getByRole('button', { name: 'Block …' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog.getByRole('button', { name: 'Block it' })).toBeDisabled()
  await dialog.getByLabel('Reason').fill('AWS repairs this zone')
  await dialog.getByLabel('Until').selectOption('15')
  await dialog.getByRole('button', { name: 'Block it' }).click()
  const blocks = page.getByRole('region', { name: 'Blocked pools' }).last()
  await expect(blocks).toContainText('all clients')
  await expect(blocks).toContainText('AWS repairs this zone')
  await expect(page.getByRole('button', { name: `${pool}: blocked` })).toBeVisible()
  await until('prices of its type', async () => JSON.stringify(await operator(s, 'GET', `/api/client/agents/${ledger.id}/explain`)).includes(pool), 60)
  await open(page, '/agents/' + ledger.id)
  await expect(page.getByText(new RegExp(`${pool} is blocked by operator:ada until .*: AWS repairs this zone\\.`)).first()).toBeVisible()
  await open(page, '/pools?pool=' + pool)
  await blocks.getByRole('button', { name: 'Unblock ' + pool }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'Unblock' }).click()
  await expect(page.getByText('No pool is blocked.')).toBeVisible()
})

test('an operation that waits for a person says what to do, and is mended', async ({ page }) => {
  test.setTimeout(420_000)
  await open(page, '/')
  const waiting = page.getByRole('region', { name: 'Waits for a person' }).first()
  await expect(waiting).toBeVisible({ timeout: 400_000 }) // three minutes after the deadline of the demo's notice
  await expect(waiting).toContainText(/AWS announced the end of i-[0-9a-f]+ and has not taken it/)
  await waiting.getByRole('link', { name: /^AWS takes/ }).click()
  await expect(page.getByText(/End the old one, or keep it/)).toBeVisible()
  await page.getByRole('button', { name: 'End it …' }).click()
  await page.getByRole('alertdialog').getByRole('button', { name: 'End it' }).click()
  await expect(page.getByTestId('verdict')).toContainText('The operation has ended.', { timeout: 60_000 })
})
