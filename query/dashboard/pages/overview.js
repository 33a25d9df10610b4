// How things are now, against the day before.
import { h, section, table, mark, count, compact, ms, time, duration } from '../dom.js'
import { get, session } from '../api.js'
import { chart, colour } from '../chart.js'
import { address } from '../app.js'
import { latest, iso, day } from '../range.js'

export async function render(params, { signal }) {
	const range = await latest('requests', 1, signal)
	const [now, before, mail, mailBefore, attention, waiting] = await Promise.all([
		usage(range.from, range.to, signal), usage(range.from - day, range.from, signal),
		mailEvents(range.from, range.to, signal), mailEvents(range.from - day, range.from, signal),
		needsAttention(signal), session.who.role === 'admin' ? lag(signal) : null,
	])
	const t = now.totals, b = before.totals
	return [
		h('p', { class: 'lead' }, range.now ? 'The last 24 hours' : 'Nothing came in during the last 24 hours. The latest day with events',
			': ', time(range.from), ' to ', time(range.to), ' UTC, against the day before. ', freshness(now.through), waiting),
		h('dl', { class: 'cards' },
			card('Requests', compact(t.requests), t.requests, b.requests),
			card('Errors', `${compact(t.errors)}`, t.errors, b.errors, t.requests ? share(t.errors, t.requests) + ' of requests' : null, true),
			latency('p50', t, b),
			latency('p95', t, b),
			latency('p99', t, b),
			card('Mail events', compact(mail.total), mail.total, mailBefore.total)),
		attention.length > 0 && section('Needs attention', h('ul', { class: 'attention' }, attention.map((a) => h('li', null, mark(a.kind, a.kind === 'bad' ? 'fault' : 'look'), ' ', a.text, ' ', h('a', { href: a.href }, a.link))))),
		section('Requests and errors by hour', chart('Requests and errors by hour', now.intervals.map((i) => Date.parse(i.start)), [
			{ label: 'requests', values: now.intervals.map((i) => i.requests), colour: colour(0) },
			{ label: 'errors', values: now.intervals.map((i) => i.errors), colour: colour(1) },
		]), h('p', null, h('a', { href: address('usage', { from: new Date(range.from).toISOString(), to: new Date(range.to).toISOString() }) }, 'Explore usage'))),
		section('Mail events', table('Mail events by kind', [
			{ title: 'Event', cell: (m) => m.event }, { title: range.now ? 'Now' : 'That day', number: true, cell: (m) => count(m.value) },
			{ title: 'Day before', number: true, cell: (m) => count(mailBefore.by[m.event] ?? 0) },
		], mail.rows, 'No mail events in this time.')),
	]
}

const usage = (from, to, signal) => get('/v1/usage', { intervalType: 'h', fromDate: iso(from), toDate: iso(to) }, signal)
const timed = (t) => t.maxTimeInMilliSeconds > 0
const share = (part, of) => (100 * part / of).toFixed(part / of < 0.1 ? 2 : 1) + ' %'

async function mailEvents(from, to, signal) {
	const answer = await get('/api/v1/meters/emails/query', { from: iso(from), to: iso(to), groupBy: 'event' }, signal)
	const rows = answer.data.map((d) => ({ event: d.groupBy.event, value: Number(d.value) })).filter((r) => r.value).sort((a, b) => b.value - a.value)
	return { rows, by: Object.fromEntries(rows.map((r) => [r.event, r.value])), total: rows.reduce((sum, r) => sum + r.value, 0) }
}

function card(title, shown, now, before, note, lessIsBetter) {
	return h('div', null, h('dt', null, title), h('dd', null, h('strong', null, shown), change(now, before, lessIsBetter), note && h('small', null, note)))
}

// latency of requests that have one; a log of accesses often has none.
function latency(quantile, now, before) {
	if (!timed(now)) return h('div', null, h('dt', null, 'Latency ' + quantile), h('dd', null, h('strong', null, '–'), h('small', null, 'no latency in these events')))
	return card('Latency ' + quantile, ms(now[quantile]), now[quantile], timed(before) && before[quantile], null, true)
}

function change(now, before, lessIsBetter) {
	if (!before || typeof now !== 'number') return h('small', null, before === 0 ? 'none the day before' : '–')
	const part = (now - before) / before
	const better = lessIsBetter ? part < 0 : part > 0
	return h('small', null, mark(Math.abs(part) < 0.005 ? 'quiet' : better ? 'good' : lessIsBetter ? 'warn' : 'quiet', part > 9 ? `▲ ${count(Math.round(now / before))} times` : `${part < 0 ? '▼' : '▲'} ${Math.abs(100 * part).toFixed(1)} %`))
}

// freshness says up to when records are in the numbers (X-Data-Through).
function freshness(through) {
	const at = Date.parse(through?.split(';')[0])
	return Number.isNaN(at) ? null : ['Every record up to ', time(at), ' is in these numbers (', duration(Date.now() - at), ' ago).']
}

// lag says how many records of the log are not counted yet.
async function lag(signal) {
	const known = (await get('/v1/pipeline', null, signal)).partitions.filter((p) => p.lag != null)
	const sum = known.reduce((all, p) => all + p.lag, 0)
	return known.length ? (sum ? ` ${count(sum)} records of the log wait to be counted.` : ' None waits in the log.') : null
}

async function needsAttention(signal) {
	const all = []
	const ready = await fetch('/readyz', { signal })
	if (!ready.ok) all.push({ kind: 'bad', text: 'Not ready: ' + ((await ready.json()).error ?? 'see the log'), href: address('pipeline'), link: 'Pipeline' })
	const errors = (await get('/v1/errors', { internal: true, status: 0, limit: 100 }, signal)).errors
	if (errors.length) {
		const records = errors.reduce((sum, e) => sum + (e.records ?? 1), 0)
		all.push({ kind: 'warn', text: `${errors.length === 100 ? 'Over 99' : errors.length} kept errors of ${count(records)} records that could not be processed.`, href: address('errors/internal'), link: 'Errors' })
	}
	if (session.who.role !== 'admin') return all
	for (const j of (await get('/v1/jobs', null, signal)).jobs) {
		const last = j.runs?.find((r) => r.outcome !== 'running')
		if (last && last.outcome !== 'ok') all.push({ kind: 'bad', text: `Job ${j.name}: ${last.error || last.outcome}`, href: address('pipeline'), link: 'Jobs' })
	}
	for (const p of await get('/providers', null, signal)) {
		if (p.breaker !== 'closed' || p.held_until) all.push({ kind: 'warn', text: `Mail provider ${p.name}: ${p.hold_reason ?? p.last_error ?? p.breaker}`, href: address('mail/providers'), link: 'Mail' })
	}
	return all
}
