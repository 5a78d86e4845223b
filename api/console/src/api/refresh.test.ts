import { QueryClient, QueryObserver } from '@tanstack/react-query'
import { expect, test } from 'vitest'
import { refresh } from './refresh'

test('what a first read finds that began before an action is not kept', async () => {
  const client = new QueryClient()
  const answers: ((text: string) => void)[] = []
  const observer = new QueryObserver(client, { queryKey: ['agent', 'a', 'explain'], queryFn: () => new Promise<string>((answer) => answers.push(answer)) })
  const stop = observer.subscribe(() => undefined)
  const done = refresh(client, { queryKey: ['agent'] })
  await expect.poll(() => answers.length).toBe(2)
  answers[0]!('not paused')
  answers[1]!('paused')
  await done
  expect(client.getQueryData(['agent', 'a', 'explain'])).toBe('paused')
  stop()
  client.clear()
})
