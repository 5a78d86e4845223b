import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { operatorToken, readStack, startStack, stop } from './stack'

/** The session that tests begin with; the test of signing in begins without. */
export const sessionFile = join(import.meta.dirname, '../test-results/session.json')

export default async function setup(): Promise<() => Promise<void>> {
  mkdirSync(join(import.meta.dirname, '../test-results'), { recursive: true })
  const stack = await startStack()
  const answer = await fetch(stack.base + '/login', {
    method: 'POST', redirect: 'manual', headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: stack.base }, body: new URLSearchParams({ token: operatorToken, next: '/' }),
  })
  const [name, value] = (answer.headers.get('set-cookie') ?? '').split(';')[0]!.split('=') as [string, string]
  writeFileSync(sessionFile, JSON.stringify({ origins: [], cookies: [{ name, value, domain: '127.0.0.1', path: '/', expires: -1, httpOnly: true, secure: false, sameSite: 'Strict' }] }))
  return async () => {
    const now = readStack()
    await stop(now.pids.api)
    await stop(now.pids.stack)
    rmSync(now.dir, { recursive: true, force: true })
  }
}
