import { operatorToken, until, type Stack } from './stack'

/** Tenant is a client of the tests with its agents. It does what agents on instances do, over HTTP. */
export interface Tenant { id: string; name: string; token: string }

export interface Agent { id: string; name: string; instance: string }

async function call<T>(s: Stack, method: string, path: string, token: string, body?: unknown): Promise<T> {
  const answer = await fetch(s.base + path, { method, headers: { Authorization: 'Bearer ' + token, ...(body ? { 'Content-Type': 'application/json' } : {}) }, ...(body ? { body: JSON.stringify(body) } : {}) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return JSON.parse(text) as T
}

export const operator = <T>(s: Stack, method: string, path: string, body?: unknown) => call<T>(s, method, path, operatorToken, body)

export async function createTenant(s: Stack, name: string): Promise<Tenant> {
  const got = await operator<{ client: { id: string; token: string } }>(s, 'POST', '/api/admin/clients/create', { name, own_account: true, legacy_token: 'all' })
  return { id: got.client.id, name, token: got.client.token }
}

const sim = async <T>(s: Stack, method: string, path: string, body?: unknown): Promise<T> => {
  const answer = await fetch(s.ec2 + '/_sim/' + path, { method, ...(body ? { body: JSON.stringify(body) } : {}) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
  return (text ? JSON.parse(text) : {}) as T
}

const simState = (s: Stack) => sim<{ instances: { instance_id: string; state: string }[] }>(s, 'GET', 'state?live=true')

export const setDelays = (s: Stack, pending: number) =>
  sim(s, 'POST', 'delays', { pending_seconds: pending, checks_seconds: 1, shutting_down_seconds: 2, visibility_seconds: 0.2, notice_seconds: 120 })

const ec2 = async (s: Stack, body: Record<string, string>): Promise<string> => {
  const answer = await fetch(s.ec2 + '/', {
    method: 'POST', body: new URLSearchParams({ Version: '2016-11-15', ...body }),
    headers: { Authorization: 'AWS4-HMAC-SHA256 Credential=demo/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0' },
  })
  return answer.text()
}

/** linuxImage is the image whose prices the demo knows from its beginning. */
const linuxImage = async (s: Stack): Promise<string> => {
  const text = await ec2(s, { Action: 'DescribeImages', 'Filter.1.Name': 'name', 'Filter.1.Value.1': 'simulated-linux-x86_64' })
  const image = /<imageId>(ami-[0-9a-f]+)<\/imageId>/.exec(text)?.[1]
  if (!image) throw new Error('there is no image: ' + text)
  return image
}

/** startAgent launches an instance and registers the agent on it. */
export async function startAgent(s: Stack, t: Tenant, name: string, type: string, zone: string, mode: 'spot' | 'ondemand' = 'spot'): Promise<Agent> {
  const image = await linuxImage(s)
  const text = await ec2(s, {
    Action: 'RunInstances', ImageId: image, InstanceType: type, MinCount: '1', MaxCount: '1',
    'Placement.AvailabilityZone': zone, ...(mode === 'spot' ? { 'InstanceMarketOptions.MarketType': 'spot' } : {}),
    // In a shared account an instance names its client, or nothing is done for it.
    'TagSpecification.1.ResourceType': 'instance', 'TagSpecification.1.Tag.1.Key': 'spotkeeper:client', 'TagSpecification.1.Tag.1.Value': t.id,
    'TagSpecification.1.Tag.2.Key': 'team', 'TagSpecification.1.Tag.2.Value': 'of ' + name,
  })
  const instance = /<instanceId>(i-[0-9a-f]+)<\/instanceId>/.exec(text)?.[1]
  if (!instance) throw new Error('no instance was launched: ' + text)
  await until('the instance', async () => (await simState(s)).instances.some((i) => i.instance_id === instance && i.state === 'running'))
  const got = await call<{ agent_id: string }>(s, 'POST', '/api/agents/register', t.token, {
    client_token: t.token, logical_agent_id: name, hostname: name + '-1', instance_id: instance, instance_type: type, region: 'us-east-1', az: zone, ami_id: image, mode, agent_version: '4.0.0',
  })
  await until('its adoption', async () => (await call<{ primary: { proof: string } }>(s, 'GET', `/api/client/agents/${got.agent_id}/state`, t.token)).primary.proof === 'adopted')
  return { id: got.agent_id, name, instance }
}

export const wantStandby = (s: Stack, t: Tenant, a: Agent) => call(s, 'POST', `/api/client/agents/${a.id}/config`, t.token, { manualReplicaEnabled: true })

/** boot has the agent on the standby register once that is ready, as its image does. */
export async function boot(s: Stack, t: Tenant, a: Agent): Promise<void> {
  const successor = await until('a ready standby', async () => {
    const { replicas } = await call<{ replicas: { instance_id: string; pool_id: string; state: string }[] }>(s, 'GET', `/api/client/agents/${a.id}/state`, t.token)
    return replicas.find((r) => r.state === 'ready')
  })
  const [family, size, az] = successor.pool_id.split('.')
  await call(s, 'POST', '/api/agents/register', t.token, {
    client_token: t.token, logical_agent_id: a.name, hostname: a.name + '-2', instance_id: successor.instance_id, instance_type: `${family}.${size}`, region: 'us-east-1', az, mode: 'spot', agent_version: '4.0.0',
  })
}

/** interrupt lets AWS take the primary; the agent on it reads that and says so. */
export async function interrupt(s: Stack, t: Tenant, a: Agent, notice: number): Promise<void> {
  await sim(s, 'POST', 'interrupt', { instance_id: a.instance, kind: 'notice', notice_seconds: notice })
  const end = await until('the notice', async () => {
    return (await sim<{ spot_instance_action?: { time: string } }>(s, 'GET', 'imds/' + a.instance)).spot_instance_action?.time
  })
  await call(s, 'POST', `/api/agents/${a.id}/termination-imminent`, t.token, { instance_id: a.instance, termination_time: end })
}

export const register = (s: Stack, token: string, name = 'first', instance = 'i-0fedcba9876543210') =>
  call(s, 'POST', '/api/agents/register', token, {
    client_token: token, logical_agent_id: name, hostname: 'first-1', instance_id: instance, instance_type: 't3.medium', region: 'us-east-1', az: 'us-east-1a', mode: 'spot', agent_version: '4.0.0',
  })
