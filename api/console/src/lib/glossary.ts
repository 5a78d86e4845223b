/** What the API's codes mean, in words for a page. A code that is not here is shown as it is. */

/** how standbys are kept */
export const modeWords: Record<string, string> = {
  off: 'no standbys', manual: 'one standby always', auto: 'a standby when it is in danger',
}

/** who brings a notice */
export const doorWords: Record<string, string> = {
  http: 'its agent', eventbridge: 'an event of AWS', describe: 'a look at EC2', sweep: 'the survey of EC2',
}

/** where the instance that took over came from */
export const pathWords: Record<string, string> = {
  standby: 'a ready standby', launch: 'a spot launch', ondemand: 'an on-demand launch', switch: 'a move under way', reported: 'the agent, by itself', none: 'none',
}

/** voluntary moves, by where they come from */
export const moveKinds: Record<string, string> = {
  to_spot: 'to a spot pool', to_ondemand: 'to on-demand', requested: 'that a program asks for', maintenance: 'before maintenance of AWS',
}

export const severities = ['info', 'warning', 'error', 'critical'] as const

/** how an instance is bought */
export const boughtAs = (mode: string): string => (mode === 'ondemand' ? 'on demand' : mode)
