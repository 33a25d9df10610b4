// One customer: subscriptions, quotas with their use, prices.
import { h, section, table, mark, time, count } from '../dom.js'
import { get } from '../api.js'
import { address } from '../app.js'
import { facts } from '../parts.js'
import { priceTable } from './customers.js'

const most = 100 // of each list; the API has the rest

export async function render(id, { signal }) {
	const path = '/v1/customers/' + encodeURIComponent(id)
	const [c, { subscriptions, next }, quotas] = await Promise.all([get(path, null, signal), get(path + '/subscriptions', { limit: most }, signal), get(path + '/quotas', { limit: most }, signal)])
	return [
		section(c.customerName || c.id, facts([
			['Id', h('code', null, c.id)], ['Account', c.account], ['Pricing model', c.pricingModelName], ['Currency', c.currency], ['Time zone', c.timezone],
			['E-mail', c.email], ['Address', c.address], ['Since', time(c.createdAt)], ['Minimum a month', c.minimum && `${c.minimum} ${c.currency}`],
			['Taxes', c.taxes.map((t) => `${t.name} ${t.percent} %`).join(', ')],
		]), h('div', { class: 'buttons' }, h('a', { class: 'button plain', href: address('invoices', { customer: c.id }) }, 'Its invoices'))),
		section('Quotas', quotaTable(quotas.quotas)),
		section('Subscriptions', subscriptionTable(subscriptions), next && h('p', { class: 'hint' }, `The first ${most}; `, h('code', null, `GET ${path}/subscriptions`), ' has all.')),
		section('Prices', await prices(subscriptions, signal)),
	]
}

function quotaTable(quotas) {
	return table('Use in the current period', [
		{ title: 'API', cell: (q) => [q.apiName, q.apiVersion, q.quota.route].filter(Boolean).join(' ') },
		{ title: 'Used', cell: (q) => [h('meter', { min: 0, max: 100, low: 80, high: 99.9, optimum: 0, value: Math.min(q.percent, 100), 'aria-label': `${q.apiName}: ${q.percent} % used` }), ` ${q.percent} %`] },
		{ title: 'Of the limit', number: true, cell: (q) => `${count(q.used)} of ${count(Number(q.quota.limit))}` },
		{ title: 'Left', number: true, cell: (q) => count(q.remaining) },
		{ title: 'Period', cell: (q) => [q.quota.period, ', to ', q.periodEnd ? time(q.periodEnd) : 'no end'] },
		{ title: 'At the limit', cell: (q) => (q.quota.hard ? mark('warn', 'refused') : mark('quiet', 'told only')) },
	], quotas, 'No subscription that holds now has a quota.')
}

function subscriptionTable(subscriptions) {
	const now = Date.now()
	return table('Subscriptions, ended ones too', [
		{ title: 'API', cell: (s) => `${s.apiName} ${s.apiVersion}` },
		{ title: 'Pricing model', cell: (s) => s.pricingModelName },
		{ title: 'Quota', cell: (s) => (s.quota ? `${count(Number(s.quota.limit))} a ${s.quota.period}` : 'none') },
		{ title: 'From', cell: (s) => time(s.startsAt) },
		{ title: 'To', cell: (s) => (s.endsAt ? time(s.endsAt) : '–') },
		{ title: 'State', cell: (s) => (s.endsAt && Date.parse(s.endsAt) <= now ? mark('quiet', 'ended') : Date.parse(s.startsAt) > now ? mark('quiet', 'to come') : mark('good', 'holds')) },
	], subscriptions, 'It has no subscription, so that its requests are counted and not billed.')
}

// prices are those of the APIs and pricing models that it has subscriptions to.
async function prices(subscriptions, signal) {
	const models = new Set(subscriptions.map((s) => s.pricingModelName))
	const apis = new Map(subscriptions.map((s) => [s.apiName + '\n' + s.apiVersion, s]))
	const answers = await Promise.all([...apis.values()].slice(0, 10).map((s) => get('/v1/routes', { apiName: s.apiName, apiVersion: s.apiVersion, limit: most }, signal)))
	return [priceTable('Prices of its subscriptions', answers.flatMap((a) => a.routes), models),
		(apis.size > 10 || answers.some((a) => a.next)) && h('p', { class: 'hint' }, 'Not all of them: ', h('a', { href: address('customers/prices') }, 'Prices'), ' has the rest.')]
}
