import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  base: '/console/',
  plugins: [react()],
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
