import type { Schemas } from '../api/client'

type Caller = Pick<Schemas['callerAnswer'], 'may' | 'operator' | 'role' | 'scope'>

/** refusal is the reason for which a caller may not ask for an operation of the API; null when it may. */
export function refusal(who: Caller, operation: string): string | null {
  if (who.may.includes(operation)) return null
  if (who.operator) return `Your role, ${who.role}, does not allow this. Ask an admin of this deployment.`
  if (who.scope) return `Your token has the scope ${who.scope}, which does not allow this.`
  return 'This is for operators.'
}

/** standing is who the user is, in two words. */
export function standing(who: Caller): string {
  return who.operator ? who.role ?? 'operator' : who.scope ? `scope ${who.scope}` : 'tenant'
}
