import { useEffect, useRef, useState } from 'react'

/** SearchField hands on what is typed once the typing rests: a page's address changes more slowly than a keyboard. */
export function SearchField({ label, value, onChange }: { label: string; value: string; onChange: (text: string) => void }) {
  const [text, setText] = useState(value)
  const known = useRef(value)
  useEffect(() => {
    if (value === known.current) return // it is what was typed here
    known.current = value // the browser went back, or a button took the filter away
    setText(value)
  }, [value])
  useEffect(() => {
    if (text === known.current) return
    const rest = setTimeout(() => {
      known.current = text
      onChange(text)
    }, 250)
    return () => clearTimeout(rest)
  }, [text, onChange])
  return <label className="field">{label}<input type="search" value={text} onChange={(e) => setText(e.target.value)} maxLength={100} /></label>
}
