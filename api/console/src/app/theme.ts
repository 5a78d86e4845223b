export type Theme = 'system' | 'light' | 'dark'

const key = 'spotkeeper.theme'

export function theme(): Theme {
  const kept = read()
  return kept === 'light' || kept === 'dark' ? kept : 'system'
}

function read(): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null // storage is off in this browser
  }
}

export function setTheme(t: Theme): void {
  try {
    if (t === 'system') localStorage.removeItem(key)
    else localStorage.setItem(key, t)
  } catch {
    // it holds until the page is closed
  }
  applyTheme(t)
}

export function applyTheme(t: Theme = theme()): void {
  if (t === 'system') delete document.documentElement.dataset.theme
  else document.documentElement.dataset.theme = t
}
