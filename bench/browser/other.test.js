// What is of one account, asked for by the session of another, at every address of
// the API that there is.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, refused, signIn, until } from './lib.js'
import { money, shop } from './money.js'

const marker = 'only-of-browser'

// everything is one of each thing that an account can have, by the address that shows it.
async function everything() {
	const as = { headers: { 'X-Account-ID': 'browser' } }
	const wanted = async (...question) => {
		const { ok, value } = await ask(...question)
		assert.ok(ok, JSON.stringify(value))
		return value
	}
	const { customer, invoice } = await money()
	const session = await wanted('POST', '/sessions/', as)
	const body = { session: { id: session.id }, category: marker, name: marker, data: { of: marker }, timestamp: '2026-01-13T10:00:00Z' }
	const event = await wanted('POST', '/events/', { ...as, body })
	await ask('POST', '/events/', { ...as, body: { ...body, name: '' } })
	const mail = await wanted('POST', '/email', { ...as, body: { to: 'ann@example.net', to_name: 'Ann', from_name: 'Shop', from: `shop@${marker}.example.com`, subject: marker, body: marker } })
	const error = await refused(`{"of":"${marker}"`, 'browser')
	const failed = await until('what was not created', async () => (await ask('GET', '/errors/', as)).value.errors?.[0])
	await until('the event', async () => (await ask('GET', `/events/${event.id}/`, as)).ok)
	const { value: { subscriptions: [subscription] } } = await ask('GET', `/v1/customers/${customer.id}/subscriptions`)
	return [['/email/', mail.id], ['/emails/', mail.id], ['/errors/', failed.id], ['/events/', event.id], ['/v1/errors/', error.id], ['/v1/invoices/', invoice.id],
		[`/v1/customers/`, customer.id, subscription.id], ['/v1/accounts/', 'browser']]
}

test('no address shows an account what another has', async (t) => {
	const things = await everything()
	const { value: { paths } } = await ask('GET', '/openapi.json')
	const asked = Object.entries(paths).filter(([, methods]) => methods.get && methods.get['x-access'] !== 'public').flatMap(([path]) => {
		if (!path.includes('{')) return ['', '?subject=browser', '?account=browser', '?internal=true', '?groupBy=api', '?intervalType=d&fromDate=2026-01-01:00:00:00'].map((query) => ({ list: path, path: path + query }))
		const [, id, second] = things.find(([prefix]) => path.startsWith(prefix + '{')) ?? []
		return id ? [{ one: path, path: path.replace(/\{\w+\}/, id).replace(/\{\w+\}/, second) }] : []
	})
	const key = (await ask('POST', '/v1/keys', { body: { role: 'account', account: 'another', name: 'of another' } })).value.key
	const page = await signIn(t, { as: key })
	const answers = await page.evaluate((all) => Promise.all(all.flatMap((q) => [{}, { 'X-Account-ID': 'browser' }].map(async (headers) => {
		const answer = await fetch(q.path, { headers })
		return { ...q, named: Boolean(headers['X-Account-ID']), status: answer.status, text: await answer.text() }
	}))), asked)
	for (const { one, path, named, status, text } of answers) {
		assert.ok(![marker, shop.name, 'browser-shop'].some((word) => text.includes(word)), `${path}: ${text}`)
		if (one) assert.ok([403, 404].includes(status), `${path}${named ? ' as browser' : ''}: ${status} ${text}`)
	}
	// The questions do find it, for who may see it.
	const seen = new Set()
	for (const { one, list, path } of asked) {
		const answer = await ask('GET', path)
		if (one) assert.equal(answer.status, 200, path)
		if (list && JSON.stringify(answer.value).includes(marker)) seen.add(list)
	}
	assert.ok(asked.filter((q) => q.one).length >= 15 && seen.size >= 4, [...seen].join(' '))
})
