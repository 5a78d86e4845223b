import { defineConfig } from '@playwright/test'
import tests from './playwright.config'

// Measurements in the browser. The fleet stands still, so that what is counted is the console's own.
process.env.NO_DEMO = '1'

export default defineConfig({ ...tests, testDir: 'bench', testMatch: '*.bench.ts', timeout: 900_000 })
