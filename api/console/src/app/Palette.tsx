import { useQuery } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { useDeferredValue, useEffect, useState, type KeyboardEvent } from 'react'
import { api, ask } from '../api/client'
import { Sheet } from '../ui/Dialog'

interface Entry { key: string; name: string; note: string; to: string }

const toOf: Record<string, (id: string) => string> = {
  agent: (id) => '/agents/' + encodeURIComponent(id),
  instance: (id) => '/fleet?q=' + encodeURIComponent(id),
  operation: (id) => '/operations/' + encodeURIComponent(id),
  client: (id) => '/clients/' + encodeURIComponent(id),
}

/** Palette finds pages, agents, instances, operations and clients from the keyboard. */
export function Palette({ open, onOpenChange, pages: known }: { open: boolean; onOpenChange: (o: boolean) => void; pages: { to: string; name: string }[] }) {
  const [text, setText] = useState('')
  const [at, setAt] = useState(0)
  const asked = useDeferredValue(text.trim())
  const navigate = useNavigate()
  const found = useQuery({
    queryKey: ['search', asked], enabled: open && asked.length > 1, refetchInterval: false,
    queryFn: () => ask(api.GET('/api/search', { params: { query: { q: asked } } })),
  })
  const pages: Entry[] = known.filter((n) => n.name.toLowerCase().includes(asked.toLowerCase())).map((n) => ({ key: n.to, name: n.name, note: 'page', to: n.to }))
  const things: Entry[] = asked.length > 1 ? (found.data?.results ?? []).map((r) => ({
    key: r.kind + r.id, name: r.name, note: r.kind + ' · ' + r.note, to: (toOf[r.kind] ?? toOf.agent!)(r.id),
  })) : []
  const list = [...things, ...pages].slice(0, 14)
  useEffect(() => setAt(0), [asked])
  useEffect(() => { if (!open) setText('') }, [open])
  const go = (e: Entry | undefined) => {
    if (!e) return
    onOpenChange(false)
    void navigate({ to: e.to as '/' })
  }
  const keys = (e: KeyboardEvent) => {
    if (e.key === 'ArrowDown') setAt((i) => Math.min(i + 1, list.length - 1))
    else if (e.key === 'ArrowUp') setAt((i) => Math.max(i - 1, 0))
    else if (e.key === 'Enter') go(list[at])
    else return
    e.preventDefault()
  }
  return (
    <Sheet open={open} onOpenChange={onOpenChange} title="Find a page, an agent, an instance, an operation or a client" className="palette">
      <input autoFocus value={text} onChange={(e) => setText(e.target.value)} maxLength={100} onKeyDown={keys} placeholder="Find an agent, an instance, an operation, a page …"
        role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={list[at] ? 'palette-' + at : undefined} aria-label="Find" />
      <ul id="palette-list" role="listbox" aria-label="Found">
        {list.map((e, i) => (
          <li key={e.key} id={'palette-' + i} role="option" aria-selected={i === at} onClick={() => go(e)} onMouseMove={() => setAt(i)}>
            <strong><bdi>{e.name}</bdi></strong><span className="muted">{e.note}</span>
          </li>
        ))}
        {list.length === 0 && <li role="option" aria-selected="false"><span>{found.error ? `The search failed: ${found.error.message}` : found.isLoading ? 'Searching …' : 'Nothing has this name or id.'}</span></li>}
      </ul>
    </Sheet>
  )
}
