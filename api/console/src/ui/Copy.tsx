import { useState } from 'react'

/** Copy shows text and copies it. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false)
  return (
    <div className="stack">
      <pre tabIndex={0} aria-label={label}>{text}</pre>
      <div className="row">
        <button onClick={() => void navigator.clipboard.writeText(text).then(() => setDone(true), () => setDone(false))}>Copy the {label}</button>
        <span role="status">{done ? 'copied' : ''}</span>
      </div>
    </div>
  )
}
