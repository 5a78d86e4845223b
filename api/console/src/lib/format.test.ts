import { describe, expect, it } from 'vitest'
import { clock, countdown, csv, csvField, duration, exact, money, percent, plural, relative, short, shortIds, words } from './format'

describe('figures', () => {
  it.each([
    [0, '$0.00'], [0.0312, '$0.0312'], [-0.5, '-$0.5000'], [1234.5, '$1,234.50'], [null, '–'],
  ])('money(%s)', (amount, text) => expect(money(amount)).toBe(text))

  it('keeps a risk apart from its limit', () => {
    expect(percent(0.0149)).toBe('1.5 %')
    expect(percent(0.00123)).toBe('0.12 %')
    expect(percent(0.3)).toBe('30 %')
    expect(percent(0)).toBe('0 %')
  })

  it.each([
    [4, '4 ms'], [1234, '1.2 s'], [9990, '10 s'], [59_400, '59 s'], [119_000, '1 m 59 s'], [11_100_000, '3 h 5 m'], [187_200_000, '2 d 4 h'], [-5_000, '-5.0 s'],
  ])('duration(%s)', (ms, text) => expect(duration(ms)).toBe(text))

  it('counts down and says when it is over', () => {
    expect(countdown(119_900)).toBe('1:59')
    expect(countdown(0)).toBe('0:00')
    expect(countdown(-3_000)).toBe('0:03 over')
  })

  it('says how long ago, and in how long', () => {
    expect(relative(0, 61_000)).toBe('1 m 1 s ago')
    expect(relative(61_000, 0)).toBe('in 1 m 1 s')
    expect(relative(500, 0)).toBe('now')
  })

  it('writes moments in the zone and in UTC', () => {
    expect(exact(Date.UTC(2026, 0, 2, 3, 4, 5, 678), 'America/St_Johns')).toBe('1 Jan 2026, 23:34:05 (America/St_Johns) · 2026-01-02 03:04:05 UTC')
    expect(clock(Date.UTC(2026, 0, 2, 3, 4, 5, 678))).toBe('03:04:05.678')
  })

  it('reads words and ids', () => {
    expect(words('waiting_for_aws')).toBe('waiting for AWS')
    expect(words('i-094399ef8bb67ccd6 is-gone')).toBe('i-094399ef8bb67ccd6 is gone')
    expect(shortIds('replica for 42758654-9f5f-4af4-a8c8-880f51dc63ec of i-094399ef8bb67ccd6')).toBe('replica for 42758654 of i-094399ef8bb67ccd6')
    expect(short('b976158c-0000-4000-8000-000000000000')).toBe('b976158c')
    expect(short('i-0123')).toBe('i-0123')
    expect(plural(1, 'agent')).toBe('1 agent')
    expect(plural(2000, 'agent')).toBe('2,000 agents')
  })
})

describe('csv', () => {
  it('quotes what would break a row, and what a spreadsheet would run', () => {
    for (const text of ['\n=1', ' =1', '\u200b=1', '＝1', '@x', '\u202e']) expect(csvField(text)).toContain("'" + text)
    expect(csvField('web-1 = x')).toBe('web-1 = x')
    expect(csv(['a', 'b'], [['x,"y"', '=1+1'], [-2, null]])).toBe('a,b\r\n"x,""y""",\'=1+1\r\n-2,\r\n')
  })
})
