// The newest events of any type, as they were sent; administrators retract them here.
import { h, section, field, mark, time } from '../dom.js'
import { ask, get, session } from '../api.js'
import { filters, sure, action, under } from '../parts.js'

const mostShown = 100 // the most that the API lists; older ones by a time

export async function newest(params, { go, signal }) {
	const f = { type: h('input', { type: 'text', value: params.type ?? '', size: 20, placeholder: 'api.request' }),
		from: h('input', { type: 'text', value: params.from ?? '', size: 20, placeholder: '2026-01-01T00:00:00Z' }), to: h('input', { type: 'text', value: params.to ?? '', size: 20 }) }
	return under(filters('events/newest', go, f, field('Type', f.type), field('From', f.from), field('Before', f.to)), async () => {
		const list = await get('/api/v1/events', { type: params.type, from: params.from, to: params.to, limit: mostShown }, signal)
		return [
			section('Events, newest first', h('p', { class: 'hint' }, 'As they were sent: where one was corrected, this is the original.'),
				list.length ? h('ul', { class: 'opening' }, list.map((row) => h('li', null, entry(row)))) : h('p', { class: 'nothing' }, 'No events match.'),
				list.length === mostShown && h('p', null, action('Older', async () => go('events/newest', { type: params.type, from: params.from, to: list.at(-1).event.time })))),
		]
	})
}

function entry({ event: e, validationError: why, ingestedAt }) {
	return h('details', null,
		h('summary', null, time(e.time), ' ', h('code', null, e.type), ' ', e.subject ?? '', ' ', why && mark('warn', 'not counted')),
		why && h('p', null, why), h('p', { class: 'hint' }, 'Came in ', time(ingestedAt), ' UTC'),
		h('pre', { class: 'code', tabindex: 0 }, h('code', null, JSON.stringify(e, null, 2))),
		session.who.role === 'admin' && !why && e.subject && action('Retract', () => retract(e), { class: 'danger' }))
}

async function retract(e) {
	const reason = h('input', { type: 'text', maxlength: 1024, size: 30 })
	if (!await sure('Retract this event?', 'Every number that it is in follows. The archive keeps both facts. This cannot be taken back.', 'Retract', field('Reason (kept with it)', reason))) return
	const topic = { api: e.type === 'api.error' ? 'errors' : 'usage', email: 'emails' }[e.type.split('.')[0]] ?? 'usage'
	const done = await ask('POST', '/v1/events/retract', { body: { source: e.source, id: e.id, account: e.subject, topic, reason: reason.value.trim() || undefined } })
	return done.message
}
