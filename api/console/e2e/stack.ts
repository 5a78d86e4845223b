import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where the stack of the tests is. It is written by the setup and read by every test. */
export interface Stack {
  dir: string
  ec2: string
  temporal: string
  namespace: string
  database: string
  temporalUI: string
  /** of the stack's own api, which needs no login */
  open: string
  /** of the api that the tests use, kill and start again: it has operators */
  base: string
  pids: { stack: number; api: number }
}

export const operatorToken = 'console-tests-operator-token'
export const viewerToken = 'viewer-of-the-browser-tests'
const root = resolve(import.meta.dirname, '../../..')
const file = join(root, 'api/console/test-results/stack.json')

export const readStack = (): Stack => JSON.parse(readFileSync(file, 'utf8')) as Stack
export const writeStack = (s: Stack): void => writeFileSync(file, JSON.stringify(s))

export async function until<T>(what: string, ask: () => Promise<T | undefined | false | null>, seconds = 30): Promise<T> {
  const end = Date.now() + seconds * 1000
  for (;;) {
    try {
      const got = await ask()
      if (got) return got
    } catch (cause) {
      if (Date.now() > end) throw cause
    }
    if (Date.now() > end) throw new Error(`${what} did not come about within ${seconds} s`)
    await new Promise((r) => setTimeout(r, 150))
  }
}

function freePort(): Promise<number> {
  return new Promise((done, failed) => {
    const server = createServer()
    server.once('error', failed)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => done(port))
    })
  })
}

/** startStack starts everything with the demo fleet, on ports of its own. */
export async function startStack(): Promise<Stack> {
  const dir = mkdtempSync(join(process.env.CONSOLE_TEST_DIR ?? tmpdir(), 'spotkeeper-console-'))
  const flags = ['api', 'api-metrics', 'ui', 'temporal', 'postgres', 'ec2', 'metrics'].flatMap((p) => [`--${p}-port`, '0'])
  const child = spawn(join(root, 'bin/spotkeeper-dev'), ['stack', process.env.NO_DEMO ? '--no-demo' : '--demo', '--python', '--json', '--dir', join(dir, 'state'), ...flags], { stdio: ['ignore', 'pipe', 'pipe'], cwd: dir })
  let out = '', err = ''
  child.stdout!.on('data', (d: Buffer) => (out += d.toString()))
  child.stderr!.on('data', (d: Buffer) => (err += d.toString()))
  let ended = false
  child.once('exit', () => (ended = true))
  const line = await until('the stack', async () => {
    if (ended) throw new Error('the stack ended: ' + err)
    return out.split('\n').find((l) => l.startsWith('{') && l.endsWith('}'))
  }, 120)
  const a = JSON.parse(line) as { api: string; ec2: string; temporal: string; namespace: string; database_url: string; temporal_ui: string }
  const port = await freePort()
  const stack: Stack = {
    dir, ec2: a.ec2, temporal: a.temporal, namespace: a.namespace, database: a.database_url, temporalUI: a.temporal_ui, open: a.api,
    base: `http://127.0.0.1:${port}`, pids: { stack: child.pid!, api: 0 },
  }
  await startApi(stack)
  return stack
}

/** startApi starts the api that has operators, at the address that it had before. */
export async function startApi(s: Stack): Promise<void> {
  const log = openSync(join(s.dir, 'api.log'), 'a')
  const child: ChildProcess = spawn(join(root, 'bin/spotkeeper-api'), [], {
    cwd: s.dir, detached: true, stdio: ['ignore', log, log],
    env: {
      PATH: process.env.PATH, HOME: s.dir, DATABASE_URL: s.database, TEMPORAL_ADDRESS: s.temporal, TEMPORAL_NAMESPACE: s.namespace, TEMPORAL_CONFIG_FILE: '/dev/null',
      TEMPORAL_UI_URL: s.temporalUI, AWS_ENDPOINT_URL_EC2: s.ec2, AWS_ENDPOINT_URL_STS: s.ec2, AWS_ENDPOINT_URL_PRICING: s.ec2, EC2_SIMULATED: 'true', ENGINE_PYTHON: 'on', ARTIFACTS_URL: join(s.dir, 'state/artifacts'),
      ADMIN_TOKEN: `ada=${operatorToken},vera:viewer=${viewerToken}`, API_LISTEN: new URL(s.base).host, API_METRICS_LISTEN: '127.0.0.1:0',
    },
  })
  child.unref()
  s.pids.api = child.pid!
  await until('the api', async () => (await fetch(s.base + '/ready')).ok, 60)
  writeStack(s)
}

export function killApi(s: Stack): void {
  process.kill(s.pids.api, 'SIGKILL')
}

export async function stop(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM')
  } catch {
    return // it has ended
  }
  await until('the end of a process', async () => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  }, 60)
}
