/** The pages in the order in which they are needed: what happens now comes first. */
export const navigation: { to: string; name: string; operators?: boolean }[] = [
  { to: '/', name: 'Now' },
  { to: '/fleet', name: 'Fleet' },
  { to: '/operations', name: 'Operations' },
  { to: '/failovers', name: 'Failovers' },
  { to: '/pools', name: 'Pools' },
  { to: '/savings', name: 'Savings' },
  { to: '/decisions', name: 'Decisions' },
  { to: '/approvals', name: 'Approvals' },
  { to: '/rollouts', name: 'Rollouts', operators: true },
  { to: '/jobs', name: 'Jobs', operators: true },
  { to: '/clients', name: 'Clients', operators: true },
  { to: '/audit', name: 'Audit' },
  { to: '/system', name: 'System', operators: true },
]
