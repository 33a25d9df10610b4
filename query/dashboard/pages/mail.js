// Mail: what became of it by domain, each mail with its attempts, and who carries it.
import { h, section, table, field, select, mark, count, time, duration } from '../dom.js'
import { ask, get, session, Refused } from '../api.js'
import { address } from '../app.js'
import { tabs, pager, filters, facts, sure, action, under } from '../parts.js'
import { totals } from './mailtotals.js'

const admin = () => session.who.role === 'admin'
const sides = () => [['mail', 'By domain'], ['mail/sent', 'Mails'], ...admin() ? [['mail/providers', 'Providers'], ['mail/suppressions', 'Suppressions']] : []]
const perPage = 50

export async function render(params, tools) {
	const [side, id] = params.rest
	const lists = { sent, providers, suppressions }
	const content = side === 'sent' && id ? one(id, tools) : (lists[side] ?? totals)(params, tools)
	return [tabs('Sides of mail', sides(), id ? null : side ? 'mail/' + side : 'mail'), ...await content]
}

const statuses = { sending: 'quiet', sent: 'good', deferred: 'warn', rejected: 'bad', unknown: 'warn' }
const statusOf = (m) => [mark(statuses[m.status] ?? 'quiet', m.status), m.possible_duplicate && [' ', mark('warn', m.duplicate_confirmed ? 'came twice' : 'may have come twice')]]

async function sent(params, { go, signal }) {
	const { status, provider, to, from, since, before, cursor } = params
	const text = (name, more) => h('input', { type: 'text', value: params[name] ?? '', size: 18, ...more })
	const f = { status: select([['', 'any'], ...Object.keys(statuses).map((s) => [s, s])], status ?? ''), provider: text('provider'), to: text('to'), from: text('from'),
		since: text('since', { placeholder: '2026-01-01T00:00:00Z' }), before: text('before') }
	return under(filters('mail/sent', go, f, field('Status', f.status), field('Provider', f.provider), field('To', f.to), field('From', f.from), field('Since', f.since), field('Before', f.before)), async () => {
		const page = await get('/emails', { status, provider, to, from, since, before, limit: perPage, cursor }, signal)
		return [
			section(null, table('Mails, newest first', [
				{ title: 'Taken (UTC)', cell: (m) => h('a', { href: address(`mail/sent/${encodeURIComponent(m.id)}`) }, time(m.created_at)) },
				{ title: 'To', cell: (m) => m.to }, { title: 'Subject', cell: (m) => m.subject }, { title: 'Status', cell: statusOf }, { title: 'Provider', cell: (m) => m.provider ?? '–' },
				admin() && { title: 'Account', cell: (m) => m.account },
			].filter(Boolean), page.emails, 'No mails match. POST /email sends one; invoices and alerts go the same way.'), pager('mail/sent', params, page.next)),
		]
	})
}

async function one(id, { signal }) {
	const m = await get(`/emails/${encodeURIComponent(id)}`, null, signal)
	return [
		section(m.subject, m.error && h('p', null, m.error), facts([
			['Status', h('span', null, statusOf(m))], ['To', `${m.to_name} <${m.to}>`], ['From', `${m.from_name} <${m.from}>`], ['Taken (UTC)', time(m.created_at)], ['Next attempt', m.next_attempt_at && time(m.next_attempt_at)],
			['Provider', m.provider], ['Its name for it', m.message_id && h('code', null, m.message_id)], ['Message-ID', h('code', null, m.header_message_id)], ['Tags', m.tags.join(', ')], ['Account', m.account],
		])),
		section('Attempts', table('Attempts, in order', [
			{ title: 'Time (UTC)', cell: (a) => time(a.at) }, { title: 'Provider', cell: (a) => a.provider }, { title: 'Outcome', cell: (a) => mark(a.class === 'ok' ? 'good' : 'warn', a.class.replace('_', ' ')) },
			{ title: 'Answer', cell: (a) => [a.status_code, a.message].filter(Boolean).join(' ') || '–' }, { title: 'Took', number: true, cell: (a) => duration(a.duration_ms) },
		], m.attempts ?? [], 'No provider was asked yet.')),
	]
}

async function providers(params, { signal }) {
	const [list, alerts] = await Promise.all([get('/providers', null, signal), get('/alerts', { limit: perPage }, signal)])
	const state = { closed: ['good', 'is asked'], open: ['bad', 'not asked: breaker open'], 'half-open': ['warn', 'one attempt: half open'] }
	return [
		section(null, table('Providers, in the order in which they are asked', [
			{ title: 'Name', cell: (p) => p.name }, { title: 'Kind', cell: (p) => p.type }, { title: 'Breaker', cell: (p) => mark(...state[p.breaker] ?? ['quiet', p.breaker]) },
			{ title: 'Failures in a row', number: true, cell: (p) => count(p.consecutive_failures) },
			{ title: 'Held', cell: (p) => (p.held_until ? ['until ', time(p.held_until), ': ', p.hold_reason] : 'no') }, { title: 'Last error', cell: (p) => p.last_error ?? '–' },
		], list, 'No provider is configured, so no mail goes out.')),
		section('Alerts', table('What operators should know, newest first', [
			{ title: 'Time (UTC)', cell: (a) => time(a.at) }, { title: 'Kind', cell: (a) => a.kind }, { title: 'About', cell: (a) => h('code', null, a.key) }, { title: 'What', cell: (a) => a.message },
		], alerts, 'Nothing to know.')),
	]
}

// suppressions are looked up by address: whose they are is nobody's to browse.
async function suppressions({ address: wanted }, { go, signal, again }) {
	const f = { address: h('input', { type: 'email', value: wanted ?? '', required: true, size: 30, maxlength: 254 }) }
	const form = filters('mail/suppressions', go, f, field('Address', f.address, 'Nothing is sent to who bounced hard or complained.'))
	if (!wanted) return [form]
	const path = `/suppressions/${encodeURIComponent(wanted)}`
	try {
		const s = await get(path, null, signal)
		return [form, section(s.address, facts([['Reason', s.reason], ['Reported by', s.provider], ['Since (UTC)', time(s.at)]]), action('Send there again', async () => {
			if (!await sure('Send mail to this address again?', `${s.address} is taken off the list. If it bounces or complains again, that counts against your sending domains.`, 'Send again')) return
			await ask('DELETE', path)
			again()
			return 'Mail is sent there again.'
		}))]
	} catch (failure) {
		if (!(failure instanceof Refused) || failure.status !== 404) throw failure
		return [form, section(null, h('p', { class: 'nothing' }, `Nothing is held against ${wanted}: mail is sent there.`))]
	}
}
