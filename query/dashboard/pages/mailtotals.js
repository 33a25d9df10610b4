// What became of mail, by sending domain.
import { h, section, table, field, select, count } from '../dom.js'
import { get, session } from '../api.js'
import { filters, under } from '../parts.js'
import { latest, iso } from '../range.js'

const events = ['accepted', 'delivered', 'failed', 'opened', 'clicked', 'unsubscribed', 'complained', 'stored']

export async function totals(params, tools) {
	if (session.who.role === 'admin' && !session.account) return byAccount(params, tools)
	const { go, signal } = tools
	const resolution = params.resolution ?? 'month'
	const timestamp = params.timestamp ?? iso((await latest('emails', 1, signal)).to - 1000)
	const f = { resolution: select([['hour', 'hour'], ['day', 'day'], ['month', 'month']], resolution), timestamp: h('input', { type: 'text', value: timestamp, required: true, size: 22 }) }
	return under(filters('mail', go, f, field('Window', f.resolution), field('That holds', f.timestamp)), async () => {
		const answer = await get('/v3/accounts/totals', { event: events, resolution, timestamp }, signal)
		const rows = Object.entries(answer.stats).map(([domain, [counts]]) => ({ domain, counts, number: (e) => of(e, counts) }))
		return [section(null, table(`Mail events by domain, ${resolution} from ${rows[0]?.counts.time ?? answer.timestamp}`, [
			{ title: 'Domain', cell: (r) => r.domain }, ...events.map((e) => ({ title: e, number: true, cell: (r) => detail(e, r) })),
		], rows, 'The account has no sending domains: PUT /v1/accounts/{account}/domains/{domain} registers one.'))]
	})
}

// of is the number of one kind of event; failures come in two kinds.
function of(event, counts) {
	const c = counts[event]
	return event === 'failed' ? c.temporary.total + c.permanent.total : c.total
}

function detail(event, row) {
	const { failed } = row.counts
	if (event !== 'failed' || !row.number('failed')) return count(row.number(event))
	return [count(row.number('failed')), h('small', null, ` ${count(failed.permanent.total)} for good`)]
}

// byAccount is what an administrator sees who looks at no account.
async function byAccount(params, { go, signal }) {
	const range = params.from && params.to ? null : await latest('emails', 365, signal)
	const c = { from: params.from ?? iso(range.from), to: params.to ?? iso(range.to) }
	const f = { from: h('input', { type: 'text', value: c.from, required: true, size: 20 }), to: h('input', { type: 'text', value: c.to, required: true, size: 20 }) }
	return under(filters('mail', go, f, field('From', f.from), field('To', f.to)), async () => {
		const { data } = await get('/api/v1/meters/emails/query', { ...c, groupBy: ['subject', 'domain', 'event'] }, signal)
		const rows = new Map()
		for (const d of data) {
			const at = JSON.stringify([d.subject, d.groupBy.domain])
			if (!rows.has(at)) rows.set(at, { account: d.subject, domain: d.groupBy.domain, by: {} })
			rows.get(at).by[d.groupBy.event] = Number(d.value)
		}
		const list = [...rows.values()].sort((a, b) => a.account.localeCompare(b.account) || a.domain.localeCompare(b.domain))
		return [
			section(null, table('Mail events by account and domain', [
				{ title: 'Account', cell: (r) => r.account }, { title: 'Domain', cell: (r) => r.domain || '–' }, ...events.map((e) => ({ title: e, number: true, cell: (r) => count(r.by[e] ?? 0) })),
			], list.slice(0, 200), 'No mail events in this time.'), list.length > 200 && h('p', { class: 'hint' }, `The first 200 of ${count(list.length)}; name an account above.`)),
			h('p', { class: 'hint' }, 'Name an account above to see its registered domains, silent ones too.'),
		]
	})
}
