import { AlertDialog, Dialog } from 'radix-ui'
import { useState, type FormEvent, type ReactElement, type ReactNode } from 'react'
import { Allowed, useRefusal } from './Allowed'
import { Problem } from './parts'

interface AskProps {
  /** the button that opens it; without one, `open` decides */
  trigger?: ReactElement<{ disabled?: boolean }>
  /** the operation of the API that it asks for: who may not finds the button disabled, with the reason */
  needs: string
  title: string
  /** what will change, before it changes */
  children?: ReactNode
  confirm: string
  danger?: boolean
  /** what is done; when it fails the dialog stays and shows why */
  act: () => Promise<unknown>
  open?: boolean
  onOpenChange?: (open: boolean) => void
  ready?: boolean
}

/** Ask shows what an action will change and does it only on a second word. */
export function Ask({ trigger, needs, title, children, confirm, danger, act, open, onOpenChange, ready = true }: AskProps) {
  const [own, setOwn] = useState(false)
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  const why = useRefusal(needs)
  const isOpen = open ?? own
  const set = (to: boolean) => {
    if (!to) setError(null)
    setOwn(to)
    onOpenChange?.(to)
  }
  const submit = async (e: FormEvent) => {
    e.preventDefault()
    setBusy(true)
    setError(null)
    try {
      await act()
      set(false)
    } catch (cause) {
      setError(cause)
    } finally {
      setBusy(false)
    }
  }
  return (
    <AlertDialog.Root open={isOpen} onOpenChange={set}>
      {trigger && (why === null ? <AlertDialog.Trigger asChild>{trigger}</AlertDialog.Trigger> : <Allowed to={needs}>{trigger}</Allowed>)}
      <AlertDialog.Portal>
        <div className="veil" />
        <AlertDialog.Content className="dialog" aria-describedby={undefined}>
          <AlertDialog.Title asChild><h2>{title}</h2></AlertDialog.Title>
          <form className="stack" onSubmit={submit}>
            {children}
            {error ? <Problem error={error} /> : null}
            <footer>
              <AlertDialog.Cancel asChild><button type="button">Not now</button></AlertDialog.Cancel>
              <button type="submit" className={danger ? 'danger' : 'primary'} disabled={busy || !ready}>{busy ? 'Working …' : confirm}</button>
            </footer>
          </form>
        </AlertDialog.Content>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  )
}

export function Sheet({ open, onOpenChange, title, children, className = '' }: { open: boolean; onOpenChange: (o: boolean) => void; title: string; children: ReactNode; className?: string }) {
  return (
    <Dialog.Root open={open} onOpenChange={onOpenChange}>
      <Dialog.Portal>
        <div className="veil" />
        <Dialog.Content className={'dialog ' + className} aria-describedby={undefined}>
          <Dialog.Title className="hidden">{title}</Dialog.Title>
          {children}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  )
}
