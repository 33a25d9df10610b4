// Any meter over any time: chart, table, the question as an address and as curl.
import { h, section, table, field, select, count, compact, time, say } from '../dom.js'
import { get, curl, download, Refused } from '../api.js'
import { chart } from '../chart.js'
import { under } from '../parts.js'
import { latest, iso } from '../range.js'

const lines = 8

export async function render(params, { go, signal }) {
	const meters = await get('/api/v1/meters', null, signal)
	const meter = meters.find((m) => m.slug === params.meter) ?? meters.find((m) => m.slug === 'requests') ?? meters[0]
	const range = params.from && params.to ? null : await latest(meter.slug, 7, signal)
	const chosen = { from: params.from ?? iso(range.from), to: params.to ?? iso(range.to), window: params.window ?? 'DAY',
		zone: params.zone ?? 'UTC', group: params.group ?? '', filter: params.filter ?? '' }
	const form = question(meters, meter, chosen, go)
	const path = `/api/v1/meters/${encodeURIComponent(meter.slug)}/query`
	return under(form, async () => {
		const query = queryOf(chosen)
		return [...shown(meter, chosen, await get(path, query, signal)), section('The same question elsewhere',
		h('p', null, 'This page’s address holds the question. For a shell:'), h('pre', { class: 'code', tabindex: 0 }, h('code', null, curl(path, query))),
		h('div', { class: 'buttons' }, [['CSV', 'text/csv', 'csv'], ['Arrow', 'application/vnd.apache.arrow.stream', 'arrows']].map(([name, type, ending]) =>
			h('button', { type: 'button', class: 'plain', onclick: async () => {
				try {
					await download(path, query, type, `${meter.slug}.${ending}`)
				} catch (failure) {
					say(failure.message)
				}
			} }, `Download ${name}`))))]
	})
}

// queryOf is the API's form of what was chosen; "status=500, api=shop" filters.
function queryOf(c) {
	const query = { from: c.from, to: c.to, windowSize: c.window === 'ALL' ? null : c.window, windowTimeZone: c.zone === 'UTC' ? null : c.zone, groupBy: c.group || null }
	for (const part of c.filter.split(',').map((p) => p.trim()).filter(Boolean)) {
		const [name, value] = part.split(/=(.*)/s).map((text) => text.trim())
		if (!name || !value) throw new Refused(400, `Filter must be name=value, several by commas: “${part}” is not.`)
		query[`filterGroupBy[${name}]`] = value
	}
	return query
}

function question(meters, meter, c, go) {
	const f = {
		meter: select(meters.map((m) => [m.slug, m.slug]), meter.slug),
		from: h('input', { type: 'text', value: c.from, required: true, size: 20 }),
		to: h('input', { type: 'text', value: c.to, required: true, size: 20 }),
		window: select([['HOUR', 'hour'], ['DAY', 'day'], ['MONTH', 'month'], ['ALL', 'none']], c.window),
		zone: h('input', { type: 'text', value: c.zone, list: 'zones', size: 16 }),
		group: select([['', 'nothing'], ['subject', 'account'], ...Object.keys(meter.groupBy ?? {}).map((g) => [g, g])], c.group),
		filter: h('input', { type: 'text', value: c.filter, placeholder: 'status=500, api=shop', size: 24 }),
	}
	f.meter.addEventListener('change', () => { f.group.value = '' })
	return h('form', { class: 'question', onsubmit: (e) => {
		e.preventDefault()
		go('usage', Object.fromEntries(Object.entries(f).map(([name, control]) => [name, control.value.trim()])))
	} },
	field('Meter', f.meter), field('From', f.from), field('To', f.to), field('Window', f.window), field('Time zone', f.zone),
	field('Group by', f.group), field('Filter', f.filter),
	h('datalist', { id: 'zones' }, ['UTC', Intl.DateTimeFormat().resolvedOptions().timeZone, 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'Asia/Tokyo'].map((z) => h('option', { value: z }))),
	h('button', { type: 'submit' }, 'Show'), h('p', { class: 'hint' }, meter.description))
}

// withGaps are the starts of windows, and of one at each side of those that had
// nothing: a line through them stands at zero there.
function withGaps(data) {
	const ends = new Map(data.map((d) => [d.windowStart, d.windowEnd])), starts = [...ends.keys()].sort()
	return starts.flatMap((start, n) => {
		const end = ends.get(start), next = starts[n + 1]
		if (!next || end === next) return [start]
		const before = new Date(2 * Date.parse(next) - Date.parse(ends.get(next))).toISOString().replace('.000', '')
		return before > end ? [start, end, before] : [start, end]
	})
}

function shown(meter, c, answer) {
	const name = (d) => (c.group === 'subject' ? d.subject : c.group ? d.groupBy[c.group] : meter.slug) || '–'
	const total = answer.data.reduce((sum, d) => sum + Number(d.value), 0)
	const adds = ['SUM', 'COUNT'].includes(meter.aggregation)
	const starts = adds ? withGaps(answer.data) : [...new Set(answer.data.map((d) => d.windowStart))].sort()
	const groups = new Map()
	for (const d of answer.data) groups.set(name(d), (groups.get(name(d)) ?? 0) + Math.abs(Number(d.value)))
	const greatest = [...groups].sort((a, b) => b[1] - a[1]).slice(0, lines).map(([g]) => g)
	const at = new Map(answer.data.map((d) => [name(d) + '\n' + d.windowStart, Number(d.value)]))
	const series = greatest.map((g) => ({ label: g, values: starts.map((s) => at.get(g + '\n' + s) ?? (adds ? 0 : null)) }))
	const title = `${meter.slug}${c.group ? ' by ' + c.group : ''}`
	return [
		h('p', { class: 'lead', id: 'total' }, adds ? ['In all ', h('strong', null, count(total)), '. '] : null, 'Made from ', answer.source?.replace('+', ' and '), '. ',
			groups.size > lines && `The chart shows the ${lines} greatest of ${groups.size}.`),
		starts.length > 1 && section(null, chart(title, starts.map((s) => Date.parse(s)), series, { bars: !c.group && adds && starts.length < 100, zone: c.zone })),
		section(null, table(title, [
			{ title: `From (${c.zone})`, cell: (d) => time(d.windowStart, c.zone) }, { title: `To (${c.zone})`, cell: (d) => time(d.windowEnd, c.zone) },
			c.group && { title: c.group === 'subject' ? 'account' : c.group, cell: name },
			{ title: meter.aggregation.toLowerCase(), number: true, cell: (d) => (adds ? count(Number(d.value)) : compact(Number(d.value))) },
		].filter(Boolean), answer.data.slice(0, 100), 'No events in this time. Choose another time, or another filter.'),
		answer.data.length > 100 && h('p', { class: 'hint' }, `The first 100 of ${count(answer.data.length)} rows; the downloads have all.`)),
	]
}
