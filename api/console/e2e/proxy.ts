import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** Proxy stands between the browser and the api, as a network does. */
export interface Proxy {
  base: string
  /** cut ends all connections, and each new one until mend. */
  cut(): void
  /** freeze lets no byte through any more, and ends nothing. */
  freeze(): void
  mend(): void
  close(): void
}

export async function startProxy(to: string): Promise<Proxy> {
  const target = new URL(to)
  const pairs = new Set<[Socket, Socket]>()
  let state: 'works' | 'cut' | 'frozen' = 'works'
  const server = createServer((near) => {
    if (state === 'cut') return void near.destroy()
    const far = connect(Number(target.port), target.hostname)
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    for (const [from, into] of [[near, far], [far, near]] as const) {
      from.on('data', (d: Buffer) => into.write(d))
      from.on('error', () => {}) // its end follows
      from.on('close', () => {
        into.destroy()
        pairs.delete(pair)
      })
      if (state === 'frozen') from.pause()
    }
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const each = (what: (s: Socket) => void) => pairs.forEach((pair) => pair.forEach(what))
  const cut = () => {
    state = 'cut'
    each((s) => s.destroy())
  }
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    freeze: () => {
      state = 'frozen'
      each((s) => s.pause())
    },
    mend: () => {
      state = 'works'
      each((s) => s.resume())
    },
    close: () => {
      cut()
      server.close()
    },
  }
}
