// Errors that APIs reported, by code and route; and what could not be processed.
import { h, section, table, field, select, mark, count, time, ms } from '../dom.js'
import { get, session } from '../api.js'
import { chart } from '../chart.js'
import { address } from '../app.js'
import { tabs, pager, filters, under } from '../parts.js'
import { latest, iso, hour, day } from '../range.js'
import { one } from './errorone.js'

const sides = [['errors', 'Of the APIs'], ['errors/internal', 'Not processed']]
const perPage = 50

export async function render(params, tools) {
	const [side, id] = params.rest
	if (side === 'internal') return [tabs('Kinds of errors', sides, id ? null : 'errors/internal'), ...await (id ? one(id, tools) : internal(params, tools))]
	return [tabs('Kinds of errors', sides, 'errors'), ...await reported(params, tools)]
}

async function reported(params, { go, signal }) {
	const range = params.from && params.to ? null : await latest('errors', 7, signal)
	const c = { from: params.from ?? iso(range.from), to: params.to ?? iso(range.to), code: params.code ?? '', route: params.route ?? '' }
	const f = {
		from: h('input', { type: 'text', value: c.from, required: true, size: 20 }), to: h('input', { type: 'text', value: c.to, required: true, size: 20 }),
		code: h('input', { type: 'text', value: c.code, size: 14 }), route: h('input', { type: 'text', value: c.route, size: 20 }),
	}
	return under(filters('errors', go, f, field('From', f.from), field('To', f.to), field('Code', f.code), field('Route', f.route)), () => listed(c, params, signal))
}

async function listed(c, params, signal) {
	const query = { from: c.from, to: c.to, 'filterGroupBy[error_code]': c.code, 'filterGroupBy[endpoint]': c.route }
	const short = Date.parse(c.to) - Date.parse(c.from) <= 2 * day
	const intervalType = Date.parse(c.to) - Date.parse(c.from) > 60 * day ? 'y' : 'd'
	const [groups, times, list] = await Promise.all([
		get('/api/v1/meters/errors/query', { ...query, groupBy: ['error_code', 'endpoint'] }, signal),
		get('/api/v1/meters/errors/query', { ...query, windowSize: short ? 'HOUR' : 'DAY', groupBy: 'error_code' }, signal),
		get('/v1/errors', { intervalType, fromDate: c.from, toDate: c.to, endPointName: c.route, errorCode: c.code, limit: perPage, cursor: params.cursor }, signal),
	])
	return [
		groups.data.length > 0 && section('Over time', byTime(times.data, c, short ? hour : day)),
		section('By code and route', table('Errors by code and route, most first', [
			{ title: 'Code', cell: (d) => h('a', { href: address('errors', { ...c, code: d.groupBy.error_code }) }, d.groupBy.error_code || '(none)') },
			{ title: 'Route', cell: (d) => h('a', { href: address('errors', { ...c, route: d.groupBy.endpoint }) }, d.groupBy.endpoint || '(none)') },
			{ title: 'Errors', number: true, cell: (d) => count(Number(d.value)) },
		], groups.data.sort((a, b) => b.value - a.value).slice(0, 50), 'No API reported an error in this time.'),
		groups.data.length > 50 && h('p', { class: 'hint' }, `The 50 greatest of ${count(groups.data.length)}.`)),
		section('The errors', table('Errors, newest first', [
			{ title: 'Time (UTC)', cell: (e) => time(e.time) }, { title: 'Route', cell: (e) => `${e.method ?? ''} ${e.endPointName}` },
			{ title: 'Status', number: true, cell: (e) => String(e.httpStatusCode) }, { title: 'Code', cell: (e) => e.errorCode || '–' },
			{ title: 'Description', cell: (e) => e.errorDescription || '–' }, { title: 'Took', number: true, cell: (e) => (Number(e.timeTakenInMilliSeconds) ? ms(Number(e.timeTakenInMilliSeconds)) : '–') },
			session.who.role === 'admin' && { title: 'Account', cell: (e) => e.account }, { title: 'From', cell: (e) => e.clientIPAdress || '–' },
		].filter(Boolean), list.events, 'None.'), pager('errors', { ...params, ...c }, list.next)),
	]
}

// byTime draws a line for each of the codes that occur most.
function byTime(data, { from, to }, step) {
	const starts = []
	for (let t = Math.floor(Date.parse(from) / step) * step; t < Date.parse(to) && starts.length < 2000; t += step) starts.push(t)
	const sums = new Map(), at = new Map()
	for (const d of data) {
		const code = d.groupBy.error_code || '(none)', place = code + '\n' + Math.floor(Date.parse(d.windowStart) / step) * step
		sums.set(code, (sums.get(code) ?? 0) + Number(d.value))
		at.set(place, (at.get(place) ?? 0) + Number(d.value))
	}
	const codes = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([code]) => code)
	return chart('Errors by code', starts, codes.map((label) => ({ label, values: starts.map((t) => at.get(label + '\n' + t) ?? 0) })))
}

const statuses = [['0', 'open'], ['1', 'resolved'], ['2', 'sent again'], ['all', 'any']]

async function internal(params, { go, signal }) {
	const status = params.status ?? '0'
	const filter = { reason: params.reason, fromDate: params.from, toDate: params.to }
	const f = { status: select(statuses, status), reason: h('input', { type: 'text', value: params.reason ?? '', size: 18, placeholder: 'invalid_json' }),
		from: h('input', { type: 'text', value: params.from ?? '', size: 20, placeholder: '2026-01-01T00:00:00Z' }), to: h('input', { type: 'text', value: params.to ?? '', size: 20 }) }
	const form = [h('p', { class: 'lead' }, 'Records that could not be counted. Each is kept with why; after what was wrong is mended, it is sent again from here, once.'),
		filters('errors/internal', go, f, field('Status', f.status), field('Reason', f.reason), field('From', f.from), field('To', f.to))]
	return under(form, async () => {
		const page = await get('/v1/errors', { internal: true, status: status === 'all' ? null : status, ...filter, limit: perPage, cursor: params.cursor }, signal)
		return [
			section(null, table('Internal errors, newest first', [
				{ title: 'Time (UTC)', cell: (e) => h('a', { href: address(`errors/internal/${encodeURIComponent(e.id)}`) }, time(e.time)) },
				{ title: 'Reason', cell: (e) => h('code', null, e.reason) }, { title: 'What was wrong', cell: (e) => e.message },
				{ title: 'Account', cell: (e) => e.account || '–' }, { title: 'Records', number: true, cell: (e) => count(e.records) },
				{ title: 'Status', cell: (e) => statusOf(e) },
			], page.errors, status === '0' ? 'Nothing is open: every record was counted, or settled.' : 'None of these.'), pager('errors/internal', params, page.next)),
		]
	})
}

export function statusOf(e) {
	return mark(['warn', 'quiet', 'good'][e.status], e.status === 2 && !e.resent_at ? 'being sent' : statuses[e.status][1])
}
