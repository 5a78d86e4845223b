import { useState } from 'react'

export interface PauseWish { minutes: number; reason: string }

/** PauseFields asks how long a pause holds and why. A pause always has an end. */
export function PauseFields({ wish, onChange }: { wish: PauseWish; onChange: (w: PauseWish) => void }) {
  return (
    <div className="row">
      <label className="field">Until
        <select value={wish.minutes} onChange={(e) => onChange({ ...wish, minutes: Number(e.target.value) })}>
          <option value={15}>in 15 minutes</option><option value={60}>in an hour</option><option value={240}>in 4 hours</option>
          <option value={1440}>tomorrow, this time</option><option value={10080}>in a week</option>
        </select>
      </label>
      <label className="field" style={{ flex: 1 }}>Reason
        <input required maxLength={500} value={wish.reason} onChange={(e) => onChange({ ...wish, reason: e.target.value })} placeholder="what others should know" />
      </label>
    </div>
  )
}

export function usePauseWish() {
  return useState<PauseWish>({ minutes: 60, reason: '' })
}
