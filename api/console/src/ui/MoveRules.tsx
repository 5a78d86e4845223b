import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { api, ask, type Schemas } from '../api/client'
import * as q from '../api/queries'
import { refresh } from '../api/refresh'
import { useSay } from '../app/toasts'
import { moveKinds } from '../lib/glossary'
import { duration } from '../lib/format'
import { Ask } from './Dialog'
import { Panel, Show } from './parts'
import { When } from './time'

type Rules = Schemas['moveRulesAnswer']
type Kind = keyof Rules['policies']

const policyWords: Record<string, string> = { auto: 'made without a question', ask: 'made after an approval', never: 'never made' }
const kinds = Object.keys(moveKinds) as Kind[]

/** MoveRules show which voluntary moves of a client are made, asked about or never made, and when. */
export function MoveRules({ clientId, name }: { clientId: string; name: string }) {
  const rules = useQuery(q.moveRules(clientId))
  return (
    <Panel title="Voluntary moves" aside={rules.data && <ChangeRules clientId={clientId} name={name} r={rules.data} />}>
      <Show of={rules} what="the rules">{(r) => (
        <div className="stack">
          <dl className="facts">
            {kinds.map((k) => <div key={k}><dt>{moveKinds[k]}</dt><dd>{policyWords[r.policies[k]] ?? r.policies[k]}</dd></div>)}
            <div><dt>A question waits for</dt><dd>{duration((r.answer_minutes ?? 1440) * 60_000)}, then the agent stays</dd></div>
            <div><dt>They may begin</dt><dd>{r.windows.length === 0 ? 'at any time' : <ul className="sentences">{r.windows.map((w, i) => <li key={i}><code>{w.cron}</code> {w.zone || 'UTC'}, for {duration(w.minutes * 60_000)}</li>)}</ul>}{r.opens_at && <div className="muted">next <When at={r.opens_at} /></div>}</dd></div>
          </dl>
          <p className="muted">Failovers after a notice, and switches that a person forces, ask for no approval and wait for no window.</p>
        </div>
      )}</Show>
    </Panel>
  )
}

function ChangeRules({ clientId, name, r }: { clientId: string; name: string; r: Rules }) {
  const client = useQueryClient()
  const say = useSay()
  const [draft, setDraft] = useState<Rules | null>(null)
  const now = draft ?? r
  const setWindow = (i: number, w: Partial<Schemas['moveWindow']>) => setDraft({ ...now, windows: now.windows.map((x, n) => (n === i ? { ...x, ...w } : x)) })
  return (
    <Ask needs="setMoveRules" trigger={<button>Change …</button>} title={`Which voluntary moves of ${name} are made?`} confirm="Save" ready={draft !== null} onOpenChange={(open) => { if (!open) setDraft(null) }}
      act={async () => {
        await ask(api.PUT('/api/client/{client_id}/move-rules', { params: { path: { client_id: clientId } }, body: { policies: now.policies, answer_minutes: now.answer_minutes, windows: now.windows } }))
        await refresh(client, { queryKey: ['clients', clientId] })
        say('The rules are saved.')
      }}>
      <table><thead><tr><th scope="col">Move</th><th scope="col">Now</th><th scope="col">Then</th></tr></thead>
        <tbody>{kinds.map((k) => (
          <tr key={k}><td>{moveKinds[k]}</td><td>{policyWords[r.policies[k]]}</td>
            <td><select aria-label={moveKinds[k]} value={now.policies[k]} onChange={(e) => setDraft({ ...now, policies: { ...now.policies, [k]: e.target.value } })}>{Object.entries(policyWords).map(([p, w]) => <option key={p} value={p}>{w}</option>)}</select></td></tr>
        ))}</tbody></table>
      <label className="field">Minutes that a question waits<input type="number" min={15} max={10080} value={now.answer_minutes ?? ''} onChange={(e) => setDraft({ ...now, answer_minutes: e.target.value === '' ? null : Number(e.target.value) })} /></label>
      <fieldset className="stack">
        <legend>When they may begin{now.windows.length === 0 && ': at any time'}</legend>
        {now.windows.map((w, i) => (
          <div className="row" key={i}>
            <label className="field">Opens (cron)<input value={w.cron} onChange={(e) => setWindow(i, { cron: e.target.value })} placeholder="0 2 * * 1-5" autoComplete="off" /></label>
            <label className="field">Zone<input value={w.zone} onChange={(e) => setWindow(i, { zone: e.target.value })} placeholder="UTC" autoComplete="off" /></label>
            <label className="field">Minutes<input type="number" min={15} max={10080} value={w.minutes} onChange={(e) => setWindow(i, { minutes: Number(e.target.value) })} /></label>
            <button type="button" aria-label={`Remove the window ${i + 1}`} onClick={() => setDraft({ ...now, windows: now.windows.filter((_, n) => n !== i) })}>Remove</button>
          </div>
        ))}
        <div><button type="button" onClick={() => setDraft({ ...now, windows: [...now.windows, { cron: '0 2 * * 1-5', zone: 'UTC', minutes: 240 }] })}>Add a window</button></div>
      </fieldset>
    </Ask>
  )
}
