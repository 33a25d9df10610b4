// Who changed what, newest first.
import { h, section, table, time } from '../dom.js'
import { get } from '../api.js'
import { pager } from '../parts.js'

export async function render(params, { signal }) {
	const answer = await get('/v1/audit', { cursor: params.cursor, limit: 50 }, signal)
	return section(null, table('Changes, newest first', [
		{ title: 'When', cell: (a) => time(a.at) },
		{ title: 'Who', cell: (a) => a.actor },
		{ title: 'What', cell: (a) => `${a.action} ${a.noun.replaceAll('_', ' ')}` },
		{ title: 'Account', cell: (a) => a.account || '–' },
		{ title: 'Of', cell: (a) => h('code', null, a.subject) },
		{ title: 'Change', cell: change },
	], answer.audit, 'Nothing was changed yet.'), pager('customers/audit', params, answer.next))
}

function change(a) {
	if (a.before == null && a.after == null) return '–'
	return h('details', null, h('summary', null, 'Show'), a.before != null && [h('p', { class: 'hint' }, 'Before'), text(a.before)], a.after != null && [h('p', { class: 'hint' }, 'After'), text(a.after)])
}

const text = (value) => h('pre', { class: 'code' }, JSON.stringify(value, null, 1))
