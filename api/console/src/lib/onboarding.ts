/** What a new client copies. The agent's own installer is named by the API, so that both agree. */
export function installer(origin: string, token: string): string {
  return [
    '#!/bin/sh',
    `export SPOTKEEPER_SERVER_URL=${origin}`,
    `export SPOTKEEPER_CLIENT_TOKEN=${token}`,
    'export LOGICAL_AGENT_ID=web        # the name that outlives the instance',
    '# then start the agent of this machine image with these three settings',
  ].join('\n')
}

export function register(origin: string, token: string): string {
  return `curl -s ${origin}/api/agents/register -H 'Content-Type: application/json' -H 'Authorization: Bearer ${token}' -d '{
  "client_token": "${token}", "logical_agent_id": "web", "hostname": "web-1", "instance_id": "i-0123456789abcdef0",
  "instance_type": "t3.medium", "region": "us-east-1", "az": "us-east-1a", "mode": "spot", "agent_version": "4.0.0"}'`
}
