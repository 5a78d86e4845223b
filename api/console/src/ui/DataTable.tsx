import { createSortedRowModel, rowSortingFeature, tableFeatures, useTable, type ColumnDef } from '@tanstack/react-table'
import { useVirtualizer } from '@tanstack/react-virtual'
import { memo, useEffect, useMemo, useRef, type ReactNode } from 'react'
import { csv } from '../lib/format'
import { download } from './parts'

const features = tableFeatures({ rowSortingFeature, sortedRowModel: createSortedRowModel() })

export interface Column<T> {
  key: string
  title: string
  /** heading in a CSV file, where figures have no unit of their own */
  csvTitle?: string
  /** what is sorted by and written to CSV */
  value: (row: T) => string | number | null | undefined
  cell?: (row: T) => ReactNode
  numeric?: boolean
  /** no heading is shown, only told to screen readers: selection, actions */
  bare?: boolean
  /** in the CSV file alone: the page shows it in another column */
  csvOnly?: boolean
}

interface Props<T> {
  label: string
  rows: T[]
  rowKey: (row: T) => string
  columns: Column<T>[]
  csvName?: string
  empty: ReactNode
  /** asked for when the reader comes near the end */
  onEnd?: () => void
  sortable?: boolean
}

const virtualFrom = 80

/** DataTable is the one table of the console: sortable, virtual when it is long, and downloadable as CSV. */
export function DataTable<T extends object>({ label, rows, rowKey, columns: all, csvName, empty, onEnd, sortable = true }: Props<T>) {
  const scroll = useRef<HTMLDivElement>(null)
  const columns = useMemo(() => all.filter((c) => !c.csvOnly), [all])
  const defs = useMemo(() => columns.map((c): ColumnDef<typeof features, T> => ({
    id: c.key, accessorFn: (row: T) => c.value(row) ?? undefined, sortUndefined: 'last', enableSorting: sortable && !c.bare, sortFn: compare,
  })), [columns, sortable])
  const table = useTable({ features, columns: defs, data: rows, getRowId: rowKey })
  const sorted = table.getRowModel().rows
  const long = sorted.length > virtualFrom
  const virtual = useVirtualizer({
    count: long ? sorted.length : 0, getScrollElement: () => scroll.current, estimateSize: () => 39, overscan: 12,
  })
  const items = long ? virtual.getVirtualItems() : []
  const first = long ? items[0]?.index ?? 0 : 0
  const last = long ? items.at(-1)?.index ?? 0 : sorted.length - 1
  useEffect(() => {
    if (onEnd && long && last >= sorted.length - 20) onEnd()
  }, [onEnd, long, last, sorted.length])
  if (rows.length === 0) return <>{empty}</>
  const shown = sorted.slice(first, last + 1)
  return (
    <>
      <div ref={scroll} className={'scroller' + (long ? ' tall' : '')} tabIndex={0} role="group" aria-label={label}>
        <table aria-rowcount={sorted.length + 1}>
          <caption className="hidden">{label}</caption>
          <thead>
            <tr>
              {columns.map((c) => {
                const column = table.getColumn(c.key)
                const way = column?.getIsSorted()
                return (
                  <th key={c.key} scope="col" className={c.numeric ? 'num' : ''} aria-sort={way ? (way === 'asc' ? 'ascending' : 'descending') : undefined}>
                    {c.bare ? <span className="hidden">{c.title}</span>
                      : sortable ? <button onClick={() => column?.toggleSorting()}>{c.title}{way ? <span aria-hidden="true">{way === 'asc' ? ' ↑' : ' ↓'}</span> : null}</button> : c.title}
                  </th>
                )
              })}
            </tr>
          </thead>
          <tbody>
            {long && items[0] && items[0].start > 0 && <tr className="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: items[0].start }} /></tr>}
            {shown.map((row, i) => (
              <Row key={row.id} row={row.original} columns={columns} at={first + i + 2} />
            ))}
            {long && <tr className="spacer" aria-hidden="true"><td colSpan={columns.length} style={{ height: Math.max(0, virtual.getTotalSize() - (items.at(-1)?.end ?? 0)) }} /></tr>}
          </tbody>
        </table>
      </div>
      {csvName && (
        <div className="below">
          <button className="plain" onClick={() => download(csvName + '.csv', 'text/csv', toCSV(all, sorted.map((r) => r.original)))}>Download CSV</button>
        </div>
      )}
    </>
  )
}

/** Row is drawn again when its row or the columns are others, and not while a reader scrolls past it. */
const Row = memo(function Row<T>({ row, columns, at }: { row: T; columns: Column<T>[]; at: number }) {
  return (
    <tr aria-rowindex={at}>
      {columns.map((c) => <td key={c.key} className={c.numeric ? 'num' : c.bare ? 'pick' : ''}>{c.cell ? c.cell(row) : c.value(row) ?? '–'}</td>)}
    </tr>
  )
}) as <T>(props: { row: T; columns: Column<T>[]; at: number }) => ReactNode

function toCSV<T>(columns: Column<T>[], rows: T[]): string {
  const kept = columns.filter((c) => !c.bare)
  return csv(kept.map((c) => c.csvTitle ?? c.title), rows.map((r) => kept.map((c) => c.value(r))))
}

function compare(a: { getValue: (id: string) => unknown }, b: { getValue: (id: string) => unknown }, id: string): number {
  const x = a.getValue(id), y = b.getValue(id)
  if (typeof x === 'number' && typeof y === 'number') return x - y
  return String(x ?? '').localeCompare(String(y ?? ''), 'en', { numeric: true })
}
