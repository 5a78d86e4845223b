import type { Schemas } from '../api/client'

/** What installs the agent on an instance: the packages of a release and one script. */
export function installer(origin: string, token: string): string {
  return [
    'export SPOTKEEPER_PACKAGES=https://…/agent   # where the packages of a release are',
    `export SPOTKEEPER_API=${origin}`,
    'export SPOTKEEPER_AGENT_ID=web               # the name that outlives the instance',
    `curl -fsSLO "$SPOTKEEPER_PACKAGES/install.sh" && echo '${token}' | sudo -E sh install.sh`,
  ].join('\n')
}

/** What an image that has an agent of its own already is given. */
export function settings(origin: string, token: string): string {
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

/** The role as Terraform makes it: the module of deploy/terraform with the parameters of one client. */
export function terraform(a: Pick<Schemas['accountSetupAnswer'], 'client_id' | 'external_id' | 'control_plane_account'>): string {
  return [
    'module "spotkeeper" {',
    '  source                = "…/deploy/terraform/modules/tenant-account"   # of the release',
    `  control_plane_account = "${a.control_plane_account || '<account of Spotkeeper>'}"`,
    `  external_id           = "${a.external_id}"`,
    `  client_id             = "${a.client_id}"`,
    '  queue_arn             = "<output queue_arn of the module control-plane>"',
    '}',
    '',
    'output "role_arn" { value = module.spotkeeper.role_arn }',
  ].join('\n')
}
