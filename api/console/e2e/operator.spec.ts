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

test('operations are chosen by their cause', async ({ page }) => {
  await open(page, '/operations?kind=replica')
  const table = page.getByRole('group', { name: 'Operations' })
  await table.getByTitle('Only operations of this cause').first().click()
  await expect(page).toHaveURL(/cause=\w+/)
  const cause = new URL(page.url()).searchParams.get('cause')!
  await expect(async () => {
    const shown = await table.getByTitle('Only operations of this cause').allTextContents()
    expect([...new Set(shown)]).toEqual([cause.replaceAll('_', ' ').replaceAll('-', ' ')])
  }).toPass({ timeout: 15_000 })
  await page.getByRole('button', { name: /^Only because of / }).click()
  await expect(page).toHaveURL(/kind=replica$/)
  await open(page, '/operations?cause=' + encodeURIComponent('no such cause'))
  await expect(page.getByText('No operation is like this.')).toBeVisible()
})

test('the audit is exported as its filter chooses', async ({ page }) => {
  await open(page, '/audit?type=client_created')
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export CSV' }).click()])
  expect(file.suggestedFilename()).toMatch(/^audit-\d{4}-\d{2}-\d{2}\.csv$/)
  const rows = readFileSync((await file.path())!, 'utf8').trimEnd().split('\n')
  expect(rows[0]).toBe('id,at,type,severity,actor,message,client_id,client_name,agent_id,agent_name,metadata')
  expect(rows.length).toBeGreaterThan(1)
  for (const row of rows.slice(1)) expect(row).toContain(',client_created,')
  await page.getByLabel('Before, UTC').fill('2020-01-01')
  await expect(page).toHaveURL(/until=2020-01-01/)
  await expect(page.getByText('No entry is like this.')).toBeVisible()
})

test('an agent shows what follows it, and savings are summed by its tags', async ({ page }) => {
  test.setTimeout(150_000)
  await operator(s, 'POST', '/api/admin/schedules/monthly-savings/trigger', {})
  await open(page, '/agents/' + ledger.id)
  const follows = page.getByRole('region', { name: 'What follows it to its next instance' })
  await expect(follows).toContainText('team = of ledger', { timeout: 90_000 }) // the job that asks EC2 begins at the next full minute
  await expect(follows).toContainText('/dev/')
  await open(page, '/savings')
  await page.getByLabel('By tag').selectOption('team')
  await expect(page).toHaveURL(/tag=team/)
  await expect(page.getByRole('region', { name: 'By tag and month' }).getByRole('cell', { name: 'of ledger' })).toBeVisible({ timeout: 45_000 })
  const rows = await csvOf(page, 'By tag and month')
  expect(rows[0]).toBe('Month,team,Agents,On demand,Paid,Of it standbys,Saved')
})

test('the system shows queues of events, and the components with their licences', async ({ page }) => {
  await open(page, '/system')
  const queues = page.getByRole('region', { name: /^Queues of AWS/ }).first()
  await expect(queues.getByText('works').first()).toBeVisible()
  await page.getByRole('button', { name: 'Show them' }).click()
  const rows = await csvOf(page, 'Components and licences')
  expect(rows[0]).toBe('Component,Version,Licence,Checksum')
  for (const name of ['github.com/gin-gonic/gin', 'react', 'uplot']) expect(rows.some((r) => r.startsWith(name + ','))).toBe(true)
})

test('a move that its client wants to be asked about waits for the answer, and is then made', async ({ page }) => {
  test.setTimeout(240_000)
  const careful = await createTenant(s, 'Careful ' + Date.now())
  await open(page, '/clients/' + careful.id)
  const rules = page.getByRole('region', { name: 'Voluntary moves' })
  await expect(rules).toContainText('to a spot poolmade without a question')
  await rules.getByRole('button', { name: 'Change …' }).click()
  const dialog = page.getByRole('alertdialog')
  await expect(dialog.getByRole('button', { name: 'Save' })).toBeDisabled()
  await dialog.getByLabel('to a spot pool').selectOption('ask')
  await dialog.getByRole('button', { name: 'Add a window' }).click()
  await dialog.getByLabel('Opens (cron)').fill('sometimes')
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('alert')).toBeVisible()
  await dialog.getByRole('button', { name: 'Remove the window 1' }).click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(rules).toContainText('to a spot poolmade after an approval')

  // Nothing else here runs on this type, so no interruption makes its pools too risky for a voluntary move.
  const till = await startAgent(s, careful, 'till', 'r5.large', 'us-east-1a', 'ondemand')
  const decide = () => operator(s, 'POST', '/api/admin/schedules/fleet-decisions/trigger', {})
  const list = () => operator<{ approvals: { state: string; operation_id: string | null }[] }>(s, 'GET', '/api/approvals?client_id=' + careful.id)
  await until('a question', async () => {
    await decide()
    await new Promise((r) => setTimeout(r, 2_000))
    if ((await list()).approvals.length > 0) return true
    throw new Error((await operator<{ sentences: string[] }>(s, 'GET', `/api/client/agents/${till.id}/explain`)).sentences.join('\n'))
  }, 120)
  await open(page, '/')
  await expect(page.getByRole('region', { name: 'Waits for an approval' }).last()).toContainText('till')
  await page.getByRole('region', { name: 'Waits for an approval' }).first().getByRole('link', { name: 'All' }).click()
  const row = page.getByRole('group', { name: 'Approvals' }).getByRole('row').filter({ hasText: 'till' })
  await expect(row).toContainText(till.instance)
  await expect(row.getByRole('timer')).toBeVisible()
  await row.getByRole('button', { name: 'Approve the move of till' }).click()
  await expect(page.getByRole('alertdialog')).toContainText(`till leaves ${till.instance} for r5.large.us-east-1`)
  await page.getByRole('alertdialog').getByRole('button', { name: 'Approve' }).click()
  await expect(row).toContainText('operator:ada')
  await until('its switch', async () => {
    await decide()
    await new Promise((r) => setTimeout(r, 2_000))
    return (await list()).approvals[0]!.state === 'used'
  }, 60)
  await expect(row.getByRole('link', { name: 'switch' })).toBeVisible({ timeout: 30_000 })
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
