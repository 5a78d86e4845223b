import react from '@vitejs/plugin-react'
import { readFileSync } from 'node:fs'
import type { Plugin } from 'vite'
import { defineConfig } from 'vitest/config'

const packagesId = 'virtual:packages'

/** packages lists what the console contains, without what only builds and tests it. */
const packages: Plugin = {
  name: 'packages',
  resolveId: (id) => id === packagesId ? '\0' + id : null,
  load: (id) => {
    if (id !== '\0' + packagesId) return null
    const lock = JSON.parse(readFileSync(new URL('package-lock.json', import.meta.url), 'utf8')) as { packages: Record<string, { version: string; license?: string; integrity?: string; dev?: boolean; optional?: boolean; devOptional?: boolean; peer?: boolean }> }
    const list = Object.entries(lock.packages).filter(([path, p]) => path !== '' && !p.dev && !p.devOptional && !p.optional)
      .map(([path, p]) => ({ name: path.replace(/^.*node_modules\//, ''), version: p.version, licence: p.license ?? '', integrity: p.integrity ?? '' }))
    return 'export default ' + JSON.stringify(list)
  },
}

export default defineConfig({
  base: '/console/',
  plugins: [react(), packages],
  build: {
    emptyOutDir: false, // dist holds a committed file; the make target removes old builds
    target: 'es2022',
    assetsInlineLimit: 0, // the content security policy allows no inline data but images
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
  server: { proxy: { '/api': 'http://127.0.0.1:5000', '/ready': 'http://127.0.0.1:5000', '/login': 'http://127.0.0.1:5000' } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
})
