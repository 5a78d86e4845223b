import type { Schemas } from '../api/client'
import { words } from '../lib/format'
import { DataTable } from './DataTable'
import { Chip, Empty, Panel, Show } from './parts'
import { When } from './time'

type Check = Schemas['Check'] & { of?: string }

const tones: Record<string, string> = { ok: 'ready', warning: 'warning', unknown: 'pending', failed: 'failed' }

/** Result shows how a check ended. */
export function Result({ of }: { of: string }) {
  return <Chip state={tones[of] ?? 'pending'} label={of === 'ok' ? 'works' : of} />
}

interface Props {
  title: string
  of: { data: Schemas['preflightAnswer'] | undefined; error: unknown; isPending: boolean; refetch: () => unknown }
}

/** Preflight is what was tried at AWS before it is needed: image, network, role, quota. */
export function Preflight({ title, of }: Props) {
  return (
    <Panel title={title} flush aside={of.data && <span className="row"><Result of={of.data.result} />{of.data.checked_at && <span className="muted">checked <When at={of.data.checked_at} /></span>}</span>}>
      <Show of={of} what="the checks">{(p) => (
        <Checks list={p.checks} empty={<Empty title="It was not checked yet."><span>Spotkeeper tries image, network, role and quota of each agent every few hours, without launching anything.</span></Empty>} />
      )}</Show>
    </Panel>
  )
}

export function Checks({ list, empty }: { list: Check[]; empty: React.ReactNode }) {
  return (
    <DataTable label="Checks" rows={list} rowKey={(c) => (c.of ?? '') + c.name} csvName="checks" empty={empty}
      columns={[
        ...(list.some((c) => c.of) ? [{ key: 'of', title: 'Of', value: (c: Check) => c.of }] : []),
        { key: 'name', title: 'Check', value: (c) => words(c.name) },
        { key: 'result', title: 'Result', value: (c) => c.result, cell: (c) => <Result of={c.result} /> },
        { key: 'detail', title: 'Found', value: (c) => c.detail },
        { key: 'repair', title: 'What to do', value: (c) => c.repair ?? '' },
      ]} />
  )
}
