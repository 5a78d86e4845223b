import { expect, test } from 'vitest'
import { refusal, standing } from './permission'

type Caller = Parameters<typeof refusal>[0]

test('what one may not do has a reason', () => {
  const viewer: Caller = { may: [], operator: true, role: 'viewer', scope: null }
  expect(refusal(viewer, 'pauseMoves')).toMatch(/role, viewer/)
  expect(refusal({ ...viewer, role: 'operator', may: ['pauseMoves'] }, 'pauseMoves')).toBeNull()
  const reader: Caller = { may: [], operator: false, role: null, scope: 'read' }
  expect(refusal(reader, 'pauseAgent')).toMatch(/scope read/)
  expect(refusal({ ...reader, scope: null }, 'createClient')).toBe('This is for operators.')
  expect([standing(viewer), standing(reader), standing({ ...reader, scope: null })]).toEqual(['viewer', 'scope read', 'tenant'])
})
