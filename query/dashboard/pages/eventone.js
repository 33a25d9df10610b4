// One application event: shown, corrected, retracted; and one that was not created.
import { h, section, field, count, bytes, time, say } from '../dom.js'
import { ask, get } from '../api.js'
import { address } from '../app.js'
import { facts, sure, action } from '../parts.js'

export async function one(id, { source }, { signal, again, go }) {
	const path = `/events/${encodeURIComponent(id)}/`
	const e = await get(path, { source }, signal)
	const change = { query: { source }, headers: { 'If-Match': `"${e.revision}"` } }
	return [
		section('Event', facts([
			['Time (UTC)', time(e.timestamp)], ['Category', e.category], ['Name', e.name], ['Account', e.account], ['Revision', e.revision ? `corrected, ${e.revision}` : 'as sent'],
			['Session', h('a', { href: address('events', { session: e.session.id }) }, h('code', null, e.session.id))], ['Source', h('code', null, e.source)], ['Id', h('code', null, e.id)],
		]), h('div', { class: 'buttons' }, action('Retract', async () => {
			if (!await sure('Retract this event?', 'It leaves every list and every number, as if it had not happened. The archive keeps both facts. This cannot be taken back.', 'Retract')) return
			const answer = await ask('DELETE', path, change)
			go('events')
			return answer?.message ?? 'The event is retracted.'
		}, { class: 'danger' }))),
		section('Correct it', correction(e, path, change, again)),
	]
}

// correction sends what was changed against the revision that is shown; whoever was
// quicker is not overwritten.
function correction(e, path, change, again) {
	const category = h('input', { type: 'text', value: e.category, required: true, maxlength: 1024, size: 24 })
	const name = h('input', { type: 'text', value: e.name, required: true, maxlength: 1024, size: 24 })
	const data = h('textarea', { value: JSON.stringify(e.data, null, 2), rows: 10, cols: 60, spellcheck: 'false', class: 'mono' })
	const failed = h('p', { class: 'failed', role: 'alert' })
	return h('form', { class: 'stacked', onsubmit: async (event) => {
		event.preventDefault()
		failed.textContent = ''
		try {
			const value = JSON.parse(data.value)
			const body = { session: e.session, category: category.value, name: name.value, data: value, timestamp: e.timestamp }
			const answer = await ask('PUT', path, { ...change, body })
			await again()
			say(answer.message ?? 'The event is corrected.')
		} catch (failure) {
			failed.textContent = failure instanceof SyntaxError ? `Data is no JSON: ${failure.message}` : failure.message
		}
	} }, field('Category', category), field('Name', name), field('Data (JSON, an object or an array)', data), failed, h('button', { type: 'submit' }, 'Correct'))
}

// failed is an application event that could not be created, with what was sent.
export async function failed(id, { signal }) {
	const e = await get(`/errors/${encodeURIComponent(id)}/`, null, signal)
	const sent = e.payload !== undefined ? JSON.stringify(e.payload, null, 2) : e.payload_text ?? e.payload_base64
	return [
		section('What was wrong', h('p', null, e.message), facts([
			['Time (UTC)', time(e.timestamp)], ['Reason', h('code', null, e.reason)], ['Field', e.field && h('code', null, e.field)], ['Account', e.account], ['Records', count(e.records)], ['Id', h('code', null, e.id)],
		])),
		section('What was sent', h('p', { class: 'hint' }, bytes(e.payload_bytes), e.payload_base64 && '; no text, so in base64'),
			sent ? h('pre', { class: 'code', tabindex: 0 }, h('code', null, sent)) : h('p', { class: 'nothing' }, 'Nothing of it was kept.')),
	]
}
