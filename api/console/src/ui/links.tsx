import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { short, words } from '../lib/format'

export function AgentLink({ id, name }: { id: string; name?: string | null }) {
  return <Link to="/agents/$id" params={{ id }}>{name || short(id)}</Link>
}

/** withIds keeps the ids of instances in a sentence in one piece. */
export function withIds(text: string): ReactNode {
  return text.split(/(\bi-[0-9a-f]{8,17}\b)/).map((part, n) => n % 2 ? <span key={n} className="nowrap">{part}</span> : part)
}

export function OperationLink({ id, children }: { id: string; children?: ReactNode }) {
  return <Link to="/operations/$id" params={{ id }}>{children ?? words(id.split('/')[0])}</Link>
}

export function ClientLink({ id, name }: { id: string; name?: string | null }) {
  return <Link to="/clients/$id" params={{ id }}>{name || short(id)}</Link>
}
