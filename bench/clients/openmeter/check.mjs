// What the published SDK says of this service: node check.mjs URL KEY
import { OpenMeter } from '@openmeter/sdk'
import assert from 'node:assert/strict'

const [baseUrl, apiKey] = process.argv.slice(2)
const client = new OpenMeter({ baseUrl, apiKey })
const subject = 'sdk-account'
const time = new Date('2026-03-01T10:20:30Z')

await client.meters.create({ slug: 'sdk_tokens', name: 'tokens', eventType: 'ai-tokens', aggregation: 'SUM',
  valueProperty: '$.tokens', groupBy: { model: '$.model' } })
const listed = await client.meters.list()
assert.ok(listed.some((m) => m.slug === 'sdk_tokens'), 'the meter is listed')

const event = (id, model, tokens) => ({ id, source: 'sdk', type: 'ai-tokens', subject, time, data: { model, tokens } })
await client.events.ingest(event('sdk-1', 'a', 100))
await client.events.ingest([event('sdk-2', 'a', 20), event('sdk-3', 'b', '3.5'), event('sdk-1', 'a', 100)])
await client.events.ingest({ id: 'sdk-4', source: 'sdk', type: 'api.request', subject, time,
  data: { api: 'shop', endpoint: '/x', method: 'GET', status: 200, quantity: 7 } })

const query = { subject: [subject], from: new Date('2026-03-01T00:00:00Z'), to: new Date('2026-03-02T00:00:00Z') }
const value = async (slug) => (await client.meters.query(slug, query)).data.reduce((sum, row) => sum + row.value, 0)
const deadline = Date.now() + 30_000
while ((await value('sdk_tokens')) !== 123.5 || (await value('requests')) !== 7) {
  assert.ok(Date.now() < deadline, `waited in vain: tokens ${await value('sdk_tokens')}, requests ${await value('requests')}`)
  await new Promise((resolve) => setTimeout(resolve, 100))
}
const grouped = await client.meters.query('sdk_tokens', { ...query, windowSize: 'DAY', groupBy: ['model'] })
const rows = grouped.data.map((r) => [new Date(r.windowStart).toISOString(), r.groupBy.model, r.value]).sort()
assert.deepEqual(rows, [['2026-03-01T00:00:00.000Z', 'a', 120], ['2026-03-01T00:00:00.000Z', 'b', 3.5]])
console.log('@openmeter/sdk: ingest (one, a batch, a repeat) and meters.query agree:', JSON.stringify(rows))
