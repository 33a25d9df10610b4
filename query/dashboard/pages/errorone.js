// One record that could not be processed: why, what it was, and what to do with it.
import { h, section, count, bytes, time } from '../dom.js'
import { ask, get } from '../api.js'
import { facts, sure, action } from '../parts.js'
import { statusOf } from './errors.js'

export async function one(id, { signal, again }) {
	const path = `/v1/errors/${encodeURIComponent(id)}`
	const e = await get(path, null, signal)
	return [
		section('What was wrong', h('p', null, e.message), facts([
			['Status', statusOf(e)], ['Reason', h('code', null, e.reason)], ['Field', e.field && h('code', null, e.field)],
			['Time (UTC)', time(e.time)], ['Account', e.account || '–'], ['From', origin(e.origin)], ['Records', count(e.records)],
			['Sent again', e.resent_at && time(e.resent_at)], ['Id', h('code', null, e.id)],
		]), buttons(e, path, again)),
		section('What came in', h('p', { class: 'hint' }, `${bytes(e.input_bytes)}${kept(e) < e.input_bytes ? `, of which ${bytes(kept(e))} are kept` : ''}${e.input_base64 ? '; no text, so in base64' : ''}. SHA-256 `, h('code', null, e.input_sha256)),
			kept(e) ? h('pre', { class: 'code', id: 'input', tabindex: 0 }, h('code', null, e.input != null ? pretty(e.input) : e.input_base64)) : h('p', { class: 'nothing' }, 'Nothing of it was kept.')),
	]
}

const kept = (e) => (e.input != null ? new TextEncoder().encode(e.input).length : atob(e.input_base64 ?? '').length)

// pretty sets JSON in lines, and leaves what is none as it came.
function pretty(text) {
	try {
		return JSON.stringify(JSON.parse(text), null, 2)
	} catch {
		return text
	}
}

const origin = (o) => (o.endpoint ? h('code', null, o.endpoint) : `topic ${o.topic}, partition ${o.partition}, offset ${count(o.offset)}`)

function buttons(e, path, again) {
	const settle = (status, done) => action(status ? 'Resolve' : 'Open again', async () => {
		await ask('PATCH', path, { body: { status } })
		again()
		return done
	})
	const resend = action('Send again', async () => {
		if (!await sure('Send this record again?', 'It goes back to its topic as it was, once. If what was wrong is not mended, it comes back as a new error.', 'Send again')) return
		await ask('POST', `${path}/retry`)
		again()
		return 'The record is in the log again.'
	}, { class: '' })
	return h('div', { class: 'buttons' }, e.can_retry && resend,
		e.status === 0 && settle(1, 'The error is resolved.'), e.status === 1 && settle(0, 'The error is open again.'),
		e.status !== 2 && !e.can_retry && e.status === 0 && h('p', { class: 'hint' }, e.records > 1 ? 'The entry stands for several records; it cannot be sent again.' : 'Not all of it was kept, or it did not come by a topic: it cannot be sent again.'))
}
