// Customers; the prices of routes; keys; the audit log.
import { h, section, table, field, time } from '../dom.js'
import { get } from '../api.js'
import { address } from '../app.js'
import { filters, pager, tabs } from '../parts.js'

const sides = [['customers', 'Customers'], ['customers/prices', 'Prices'], ['customers/keys', 'Keys'], ['customers/audit', 'Audit log']]
const files = { keys: './keys.js', audit: './audit.js' }

export async function render(params, page) {
	const [side, id] = params.rest
	const here = ['prices', 'keys', 'audit'].includes(side) ? 'customers/' + side : 'customers'
	const content = files[side] ? (await import(files[side])).render(params, page)
		: side === 'prices' ? allPrices(params, page)
			: side === 'id' ? (await import('./customerone.js')).render(id, page) : list(params, page)
	return [tabs('Sides of the catalog', sides, here), await content]
}

async function list(params, { go, signal }) {
	const { search, cursor } = params
	const answer = await get('/v1/customers', { search, cursor, limit: 50 }, signal)
	const f = { search: h('input', { type: 'search', value: search ?? '', placeholder: 'name, account, e-mail or id', size: 30, maxlength: 255 }) }
	return [filters('customers', go, f, field('Find', f.search)),
		section(null, customerTable(answer.customers, search), pager('customers', params, answer.next))]
}

function customerTable(customers, search) {
	return table('Customers', [
		{ title: 'Customer', cell: (c) => h('a', { href: address('customers/id/' + encodeURIComponent(c.id)) }, c.customerName || c.id) },
		{ title: 'Account', cell: (c) => c.account },
		{ title: 'Pricing model', cell: (c) => c.pricingModelName },
		{ title: 'Currency', cell: (c) => c.currency },
		{ title: 'Zone', cell: (c) => c.timezone },
		{ title: 'Since', cell: (c) => time(c.createdAt) },
	], customers, search ? 'No customer is so.' : ['No customer yet. ', h('a', { href: '/docs/' }, 'POST /v1/customers'), ' or “tallybook catalog apply FILE” makes them.'])
}

async function allPrices(params, { signal }) {
	const answer = await get('/v1/routes', { cursor: params.cursor, limit: 50 }, signal)
	return section(null, priceTable('Routes and their prices', answer.routes), pager('customers/prices', params, answer.next))
}

// priceTable has a row for each price, those of the future marked by their date.
export function priceTable(caption, routes, models) {
	const rows = routes.flatMap((r) => (r.prices ?? []).filter((p) => !models || models.has(p.pricingModelName)).map((p) => ({ ...p, route: r })))
	rows.sort((a, b) => route(a.route).localeCompare(route(b.route)) || a.pricingModelName.localeCompare(b.pricingModelName) || b.effectiveFrom.localeCompare(a.effectiveFrom))
	return table(caption, [
		{ title: 'Route', cell: (p) => route(p.route) },
		{ title: 'Pricing model', cell: (p) => p.pricingModelName },
		{ title: 'From', cell: (p) => [time(p.effectiveFrom), Date.parse(p.effectiveFrom) > Date.now() && h('small', null, ' to come')] },
		{ title: 'Version', number: true, cell: (p) => p.version },
		{ title: 'Model', cell: (p) => p.model.replaceAll('_', ' ') },
		{ title: 'Parameters', cell: (p) => h('code', null, JSON.stringify(p.params)) },
	], rows, 'No price here.')
}

const route = (r) => [r.apiName, r.apiVersion, r.endpointName ?? 'every endpoint'].join(' ')
