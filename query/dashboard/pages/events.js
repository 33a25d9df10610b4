// Sessions and application events, failed creations, and the latest events of any type.
import { h, section, table, field, mark, count, time } from '../dom.js'
import { get, session } from '../api.js'
import { address } from '../app.js'
import { tabs, pager, filters, under } from '../parts.js'
import { one, failed } from './eventone.js'
import { newest } from './eventsnewest.js'

const sides = [['events', 'Application events'], ['events/sessions', 'Sessions'], ['events/failed', 'Not created'], ['events/newest', 'Newest of any type']]
const perPage = 50

export async function render(params, tools) {
	const [side, id] = params.rest
	const lists = { sessions, failed: failures, newest, undefined: events }
	const content = id ? (side === 'failed' ? failed(id, tools) : one(id, params, tools)) : (lists[side] ?? events)(params, tools)
	return [tabs('Kinds of events', sides, id ? null : side ? 'events/' + side : 'events'), ...await content]
}

const times = (params) => ({
	from: h('input', { type: 'text', value: params.from ?? '', size: 20, placeholder: '2026-01-01 00:00:00' }),
	to: h('input', { type: 'text', value: params.to ?? '', size: 20, placeholder: '2026-01-31 23:59:59' }),
})
const account = { title: 'Account', cell: (row) => row.account }
const columns = (...all) => [...all, session.who.role === 'admin' && account].filter(Boolean)

async function events(params, { go, signal }) {
	const { session: of, category, name, from, to, cursor } = params
	const f = { session: h('input', { type: 'text', value: of ?? '', size: 20 }), category: h('input', { type: 'text', value: category ?? '', size: 16 }),
		name: h('input', { type: 'text', value: name ?? '', size: 16 }), ...times(params) }
	const only = (more) => address('events', { session: of, category, name, from, to, ...more })
	return under(filters('events', go, f, field('Session', f.session), field('Category', f.category), field('Name', f.name), field('From', f.from), field('To', f.to)), async () => {
		const page = await get('/events/', { session: of, category, name, timestamp__gte: from, timestamp__lte: to, limit: perPage, cursor }, signal)
		return [
			section(null, table('Application events, newest first', columns(
				{ title: 'Time (UTC)', cell: (e) => h('a', { href: address(`events/of/${encodeURIComponent(e.id)}`, { source: e.source }) }, time(e.timestamp)) },
				{ title: 'Category', cell: (e) => h('a', { href: only({ category: e.category }) }, e.category) },
				{ title: 'Name', cell: (e) => h('a', { href: only({ name: e.name }) }, e.name) },
				{ title: 'Session', cell: (e) => h('a', { href: only({ session: e.session.id }) }, h('code', null, e.session.id.slice(0, 8))) },
				{ title: 'Data', cell: (e) => h('code', null, shortened(JSON.stringify(e.data))) },
				{ title: 'Revision', cell: (e) => (e.revision ? mark('quiet', `corrected, ${e.revision}`) : 'as sent') },
			), page.events, 'No application events match. They come by POST /events/, for a session of POST /sessions/.'), pager('events', params, page.next)),
		]
	})
}

const shortened = (text) => (text.length > 80 ? text.slice(0, 79) + '…' : text)

async function sessions(params, { signal }) {
	const page = await get('/sessions/', { limit: perPage, cursor: params.cursor }, signal)
	return [section(null, table('Sessions, newest first', columns(
		{ title: 'Begun (UTC)', cell: (s) => time(s.timestamp) }, { title: 'Session', cell: (s) => h('code', null, s.id) },
		{ title: 'Events', cell: (s) => h('a', { href: address('events', { session: s.id }) }, 'Its events') },
	), page.sessions, 'No sessions yet: POST /sessions/ makes one.'), pager('events/sessions', params, page.next))]
}

async function failures(params, { go, signal }) {
	const f = times(params)
	return under(filters('events/failed', go, f, field('From', f.from), field('To', f.to)), async () => {
		const page = await get('/errors/', { timestamp__gte: params.from, timestamp__lte: params.to, limit: perPage, cursor: params.cursor }, signal)
		return [
			section(null, table('Application events that could not be created, newest first', columns(
				{ title: 'Time (UTC)', cell: (e) => h('a', { href: address(`events/failed/${encodeURIComponent(e.id)}`) }, time(e.timestamp)) },
				{ title: 'Reason', cell: (e) => h('code', null, e.reason) }, { title: 'What was wrong', cell: (e) => e.message }, { title: 'Records', number: true, cell: (e) => count(e.records) },
			), page.errors, 'Every application event of this time was created.'), pager('events/failed', params, page.next)),
		]
	})
}
