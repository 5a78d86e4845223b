import { useState, type ReactNode } from 'react'

/** CopyButton copies text, and says whether that worked. A page without a secure connection may not copy. */
export function CopyButton({ text, children }: { text: string; children: ReactNode }) {
  const [said, setSaid] = useState('')
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setSaid('copied')
    } catch {
      setSaid('this browser does not let the page copy')
    }
  }
  return (
    <span className="row">
      <button onClick={() => void copy()}>{children}</button>
      <span role="status" className="muted">{said}</span>
    </span>
  )
}

/** Copy shows text and copies it. */
export function Copy({ text, label }: { text: string; label: string }) {
  return (
    <div className="stack">
      <pre tabIndex={0} aria-label={label}>{text}</pre>
      <CopyButton text={text}>Copy the {label}</CopyButton>
    </div>
  )
}
