/** Words and figures as every page shows them. All functions are pure: the clock is passed in. */

const usd = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: 2, maximumFractionDigits: 2 })
const usdFine = new Intl.NumberFormat('en-US', { style: 'currency', currency: 'USD', minimumFractionDigits: 4, maximumFractionDigits: 4 })
const whole = new Intl.NumberFormat('en-US')

export const none = '–'

/** US dollars, or the currency that is named; amounts below one dollar keep four places, because prices per hour are small. */
export function money(amount: number | null | undefined, currency = 'USD'): string {
  if (amount == null || Number.isNaN(amount)) return none
  if (currency !== 'USD') return `${amount.toFixed(Math.abs(amount) < 1 ? 4 : 2)} ${currency}`
  return Math.abs(amount) < 1 && amount !== 0 ? usdFine.format(amount) : usd.format(amount)
}

export function count(n: number | null | undefined): string {
  return n == null ? none : whole.format(n)
}

/** "1 agent", "2 agents". */
export function plural(n: number, one: string, many = one + 's'): string {
  return `${whole.format(n)} ${n === 1 ? one : many}`
}

/** A share between 0 and 1 as a percentage. Small shares keep the digits that tell them from a limit. */
export function percent(share: number | null | undefined): string {
  if (share == null || Number.isNaN(share)) return none
  const p = share * 100
  const digits = p === 0 || Math.abs(p) >= 10 ? 0 : Math.abs(p) >= 1 ? 1 : 2
  return p.toFixed(digits) + ' %'
}

/** A length of time in its two largest units: 4 ms, 1.2 s, 1 m 59 s, 3 h 5 m, 2 d 4 h. */
export function duration(ms: number | null | undefined): string {
  if (ms == null || Number.isNaN(ms)) return none
  const sign = ms < 0 ? '-' : ''
  const abs = Math.abs(ms)
  if (abs < 1000) return `${sign}${Math.round(abs)} ms`
  if (abs < 9950) return `${sign}${(abs / 1000).toFixed(1)} s`
  const s = Math.round(abs / 1000)
  if (s < 60) return `${sign}${s} s`
  if (s < 3600) return sign + twoUnits(Math.floor(s / 60), 'm', s % 60, 's')
  if (s < 86400) return sign + twoUnits(Math.floor(s / 3600), 'h', Math.floor((s % 3600) / 60), 'm')
  return sign + twoUnits(Math.floor(s / 86400), 'd', Math.floor((s % 86400) / 3600), 'h')
}

const twoUnits = (large: number, a: string, small: number, b: string): string => `${large} ${a}${small ? ` ${small} ${b}` : ''}`

/** How long ago or in how long a moment is. */
export function relative(at: number, now: number): string {
  const ms = now - at
  if (Math.abs(ms) < 1000) return 'now'
  return ms > 0 ? `${duration(Math.max(ms, 1000))} ago` : `in ${duration(-ms)}`
}

/** A countdown as m:ss; after its end, how long it is over. */
export function countdown(msLeft: number): string {
  const s = Math.floor(Math.abs(msLeft) / 1000)
  const text = `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`
  return msLeft < 0 ? `${text} over` : text
}

/** The exact moment in the viewer's zone and in UTC. */
export function exact(at: number, zone?: string): string {
  const local = new Intl.DateTimeFormat('en-GB', {
    dateStyle: 'medium', timeStyle: 'medium', ...(zone ? { timeZone: zone } : {}),
  }).format(at)
  const name = zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone
  return `${local} (${name}) · ${new Date(at).toISOString().replace('T', ' ').replace(/\.\d+Z$/, ' UTC')}`
}

export function clock(at: number): string {
  return new Date(at).toISOString().slice(11, 23)
}

export function parse(at: string | null | undefined): number | null {
  if (!at) return null
  const ms = Date.parse(at)
  return Number.isNaN(ms) ? null : ms
}

/** Words of the API as people read them: waiting_for_aws → waiting for aws. */
export function words(name: string | null | undefined): string {
  return (name ?? '').replace(/\bi-[0-9a-f]{8,17}\b|[-_]/g, (m) => (m.length > 1 ? m : ' ')).replace(/\baws\b/, 'AWS')
}

/** shortIds keeps the first part of each UUID in a sentence: a person tells two by that. */
export function shortIds(text: string): string {
  return text.replace(/\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g, '$1')
}

export function short(id: string | null | undefined): string {
  if (!id) return none
  return /^[0-9a-f]{8}-[0-9a-f]{4}-/.test(id) ? id.slice(0, 8) : id
}

/** One field of a CSV file as RFC 4180 writes it; what a spreadsheet would run as a formula is quoted as text. */
export function csvField(value: unknown): string {
  if (value == null) return ''
  let text = String(value)
  if (typeof value !== 'number' && /^[\s\p{C}]*[=+\-@＝＋－＠]|^[\s\p{C}]/u.test(text)) text = "'" + text
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

export function csv(header: string[], rows: unknown[][]): string {
  return [header, ...rows].map((r) => r.map(csvField).join(',')).join('\r\n') + '\r\n'
}
