// Where the partitions stand, what became of the records, and the jobs.
import { h, section, table, mark, time, count, compact, bytes, duration } from '../dom.js'
import { get } from '../api.js'
import { address } from '../app.js'
import { tabs, everySecond } from '../parts.js'
import { jobsPage, jobPage, outcome } from '../jobs.js'

const sides = [['pipeline', 'Partitions'], ['pipeline/hours', 'Balance by hour'], ['pipeline/jobs', 'Jobs'], ['pipeline/imports', 'Imports']]

export async function render({ rest: [side, job] }, page) {
	const content = { hours, imports, jobs: job ? (p) => jobPage(job, p) : jobsPage }[side] ?? partitions
	return [tabs('Sides of the pipeline', sides, side ? 'pipeline/' + side : 'pipeline'), await content(page)]
}

async function partitions({ signal }) {
	const [p, { jobs }] = await Promise.all([get('/v1/pipeline', null, signal), get('/v1/jobs', null, signal)])
	const now = Date.parse(p.now)
	const lag = p.partitions.reduce((sum, x) => sum + (x.lag ?? 0), 0)
	const known = p.partitions.some((x) => x.lag != null)
	const last = p.partitions.map((x) => x.checkpoint?.at).filter(Boolean).sort().at(-1)
	const check = jobs.find((j) => j.name === 'reconcile')?.runs.find((r) => r.outcome !== 'running')
	return [
		h('dl', { class: 'cards' },
			card('Partitions', count(p.partitions.length)),
			card('Records that wait', known ? compact(lag) : '–', known ? (lag ? null : mark('good', 'all are counted')) : 'this process has no Kafka to ask'),
			card('Last checkpoint', last ? duration(now - Date.parse(last)) + ' ago' : '–', last && time(last)),
			card('Last verify and balance', check ? duration(now - Date.parse(check.endedAt ?? check.beganAt)) + ' ago' : 'not yet',
				check ? outcome(check) : h('a', { href: address('pipeline/jobs/reconcile') }, 'Run it now'))),
		section(null, table('Partitions', [
			{ title: 'Partition', cell: (x) => `${x.topic}/${x.partition}` },
			{ title: 'Position', number: true, cell: (x) => count(x.position) },
			{ title: 'Wait', number: true, cell: (x) => (x.lag == null ? '–' : x.lag ? mark('warn', count(x.lag)) : '0') },
			{ title: 'Log clock', cell: (x) => time(x.clock) },
			{ title: 'Last checkpoint', cell: checkpoint },
			{ title: 'Dedupe window', number: true, cell: (x) => (x.dedupeSeconds == null ? '–' : `${duration(x.dedupeSeconds * 1000)}, ${compact(x.dedupeIds)} ids`) },
			{ title: 'Epoch', number: true, cell: (x) => count(x.epoch) },
		], p.partitions, 'No worker has taken a partition yet.')),
	]
}

function checkpoint({ checkpoint: c }) {
	if (!c) return '–'
	const parts = [`${count(c.counted)} counted`, c.duplicate && `${count(c.duplicate)} repeats`, c.rejected && `${count(c.rejected)} refused`]
	return [time(c.at), h('br'), h('small', null, parts.filter(Boolean).join(', '))]
}

function card(title, value, under) {
	return h('div', null, h('dt', null, title), h('dd', null, h('strong', null, value), under && h('small', null, under)))
}

async function hours({ signal }) {
	const answer = await get('/v1/pipeline/hours', { hours: 48 }, signal)
	const good = (x) => x.records === x.counted + x.duplicate + x.rejected
	return section(null, h('p', { class: 'hint' }, 'What became of the records of each topic, by the hour of their checkpoints, in UTC. The nightly job ',
		h('a', { href: address('pipeline/jobs/reconcile') }, 'reconcile'), ' holds this against positions, archive and rollups.'),
	table('The last 48 hours that have checkpoints', [
		{ title: 'Hour', cell: (x) => time(x.start) },
		{ title: 'Topic', cell: (x) => x.topic },
		{ title: 'Records', number: true, cell: (x) => count(x.records) },
		{ title: 'Counted', number: true, cell: (x) => count(x.counted) },
		{ title: 'Repeats', number: true, cell: (x) => count(x.duplicate) },
		{ title: 'Refused', number: true, cell: (x) => count(x.rejected) },
		{ title: 'Other key', number: true, cell: (x) => count(x.otherKey) },
		{ title: 'Checkpoints', number: true, cell: (x) => count(x.checkpoints) },
		{ title: 'Balance', cell: (x) => (good(x) ? mark('good', 'adds up') : mark('bad', 'does not add up')) },
	], answer.hours, 'Nothing was processed during the last 48 hours.'))
}

// imports are shown as they go on.
async function imports({ signal }) {
	const place = h('div')
	const draw = async () => {
		const { imports } = await get('/v1/pipeline', null, signal)
		place.replaceChildren(importTable(imports))
		return imports.some((i) => !i.finishedAt)
	}
	if (await draw()) everySecond(signal, draw)
	return place
}

function importTable(imports) {
	return section(null, table('The latest imports', [
		{ title: 'File', cell: (i) => h('code', null, i.name.split('/').at(-1)) },
		{ title: 'Format', cell: (i) => i.format },
		{ title: 'Account', cell: (i) => i.account || '–' },
		{ title: 'Begun', cell: (i) => time(i.begunAt) },
		{ title: 'Read', cell: (i) => (i.finishedAt ? [mark('good', 'all of it'), ' ', bytes(i.bytes)] : [
			h('progress', { max: i.bytes || 1, value: i.read, 'aria-label': `${i.name}: read` }), ' ', `${bytes(i.read)} of ${bytes(i.bytes)}`]) },
		{ title: 'Lines', cell: (i) => Object.entries(i.counts).map(([what, n]) => `${count(n)} ${what}`).join(', ') || '–' },
	], imports, 'No file was imported. “tallybook import FILE” does it.'))
}
