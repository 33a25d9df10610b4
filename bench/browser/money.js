// A customer with usage of two months ago, and the final invoice of it: made once,
// for whichever file of tests comes first.
import { ask, until } from './lib.js'
import assert from 'node:assert/strict'

const monthsAgo = (n, day) => {
	const now = new Date()
	return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - n, day)).toISOString()
}

export const month = monthsAgo(2, 1).slice(0, 7)
export const shop = { name: 'Browser & Söhne', key: 'the-key-of-the-browsers-customer' }

async function wanted(status, method, path, options) {
	const answer = await ask(method, path, options)
	assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.value)}`)
	return answer.value
}

// The customer has a price in two tiers and a quota, and called the API 6 times then and once now.
async function make() {
	const api = { apiName: 'browser-shop', apiVersion: 'v1' }
	await wanted(201, 'POST', '/v1/routes', { body: { ...api, endpointName: null, prices: [{ pricingModelName: 'browser', model: 'graduated', effectiveFrom: monthsAgo(3, 1),
		params: { tiers: [{ up_to: '4', unit_price: '0.50' }, { up_to: null, unit_price: '0.25' }] } }] } })
	const customer = await wanted(201, 'POST', '/v1/customers', { body: { apiKey: shop.key, customerName: shop.name, account: 'browser', pricingModelName: 'browser', timezone: 'Europe/Berlin', currency: 'EUR',
		taxes: [{ name: 'USt', percent: '19' }], subscriptions: [{ ...api, startsAt: monthsAgo(2, 1), quota: { limit: 8, period: 'month', hard: true } }] } })
	for (const [n, at] of [...Array(6).keys()].map((n) => [n, monthsAgo(2, 10)]).concat([[7, new Date().toISOString()]]))
		await wanted(202, 'POST', '/v1/usage', { as: shop.key, body: { apiName: api.apiName, apiversion: 'v1', endPointName: '/orders', clientIPAdress: '192.0.2.1', httpStatusCode: 200, timeTakenInMilliSeconds: 12, id: `browser-${n}`, timestamp: at } })
	await until('7 requests are counted', async () => {
		const { value } = await ask('GET', `/api/v1/meters/requests/query?subject=browser`)
		return value.data?.reduce((sum, d) => sum + d.value, 0) === 7
	})
	await wanted(202, 'POST', '/v1/jobs/invoices/run')
	const invoice = await until('the invoice is final', async () => (await ask('GET', `/v1/invoices?customer=${customer.id}&month=${month}&status=final`)).value.invoices?.[0])
	return { customer, invoice }
}

async function found() {
	const customer = (await wanted(200, 'GET', '/v1/customers?search=browser')).customers.find((c) => c.account === 'browser')
	return customer && { customer, invoice: (await wanted(200, 'GET', `/v1/invoices?customer=${customer.id}&month=${month}&status=final`)).invoices[0] }
}

let made
export const money = () => (made ??= found().then((there) => there ?? make()))
