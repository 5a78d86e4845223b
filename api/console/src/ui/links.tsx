import { Link } from '@tanstack/react-router'
import type { ReactNode } from 'react'
import { short, shortIds, words } from '../lib/format'

export function AgentLink({ id, name }: { id: string; name?: string | null }) {
  return <Link to="/agents/$id" params={{ id }} className="name"><bdi>{name || short(id)}</bdi></Link>
}

/** named puts the name of an agent in the place of its id, and shortens other UUIDs. */
export function named(text: string, id: string | null | undefined, name: string | null | undefined): string {
  return shortIds(id && name ? text.replaceAll(id, name) : text)
}

/** withIds keeps the ids of instances in a sentence in one piece. */
export function withIds(text: string): ReactNode {
  return text.split(/(\bi-[0-9a-f]{8,17}\b)/).map((part, n) => n % 2 ? <span key={n} className="nowrap">{part}</span> : part)
}

export function OperationLink({ id, children }: { id: string; children?: ReactNode }) {
  return <Link to="/operations/$id" params={{ id }}>{children ?? words(id.split('/')[0])}</Link>
}

export function ClientLink({ id, name }: { id: string; name?: string | null }) {
  return <Link to="/clients/$id" params={{ id }} className="name"><bdi>{name || short(id)}</bdi></Link>
}
