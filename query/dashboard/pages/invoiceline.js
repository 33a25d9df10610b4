// One line of a document, down to its windows, its price and the archive's files.
import { h, section, table, time, count, bytes } from '../dom.js'
import { get, session } from '../api.js'
import { address } from '../app.js'
import { facts, pager } from '../parts.js'
import { money, name } from './invoices.js'
import { title } from './invoiceone.js'

export async function render(id, n, params, { signal }) {
	const path = '/v1/invoices/' + encodeURIComponent(id)
	const admin = session.who.role === 'admin'
	const [i, files] = await Promise.all([get(path, null, signal), admin && get(path + '/files', { line: n, cursor: params.cursor, limit: 50 }, signal)])
	const l = i.lines?.[n - 1]
	const here = `invoices/${encodeURIComponent(i.id)}`
	const way = h('p', { class: 'lead' }, h('a', { href: address('invoices') }, 'All invoices'), ' / ', h('a', { href: address(here) }, name(i)), ' / ', h('strong', null, `Line ${n}`))
	if (!l) return [way, h('p', { class: 'nothing' }, 'The document has no such line.')]
	return [
		way,
		section(`${title(l)}: ${money(l.amount, i.currency)}`, facts([
			['Kind', l.kind], ['Of the month', l.month], [`Window (${i.customer.timezone})`, [time(l.price.start, i.customer.timezone), ' to ', time(l.price.end, i.customer.timezone)]], ['Subscription', l.price.subscription && h('code', null, l.price.subscription)],
			['Quantity', l.quantity], ['Requests', count(l.events)], ['Rows in the archive', count(l.rows)],
			['Rated', money(l.rated, i.currency)], ['Billed before', money(l.billed, i.currency)], ['Sum of the rows’ hashes', h('code', null, l.rowSum)],
		])),
		l.price.model !== 'minimum' && section('Price', facts([['Version', l.price.priceVersion], ['Model', l.price.model.replaceAll('_', ' ')], ['Pricing model', l.price.pricingModelName]]),
			h('pre', { class: 'code' }, JSON.stringify(l.price.params, null, 1))),
		section('How the amount came about', steps(l, i.currency)),
		section('Read from', cut(i)),
		files && section('Archive files', h('p', { class: 'hint' }, 'Those that may have rows of the line: of its window, below the offsets that the document was read to. They have rows of others too; the proof reads them all.'),
			table('Files of this line', fileColumns, files.files, 'No file has rows of this window.'), pager(`${here}/${n}`, params, files.next)),
	]
}

function steps(l, currency) {
	return table('Steps, which add up to what was rated', [
		{ title: 'Step', cell: (p) => p.kind.replaceAll('_', ' ') + (p.tier ? `, tier ${p.tier}` : '') },
		{ title: 'Above', number: true, cell: (p) => p.above ?? '–' },
		{ title: 'Up to', number: true, cell: (p) => p.upTo ?? '–' },
		{ title: 'Quantity', number: true, cell: (p) => p.quantity ?? '–' },
		{ title: 'Price', number: true, cell: (p) => p.price ?? (p.percent ? p.percent + ' %' : '–') },
		{ title: 'Amount', number: true, cell: (p) => money(p.amount, currency) },
	], l.parts ?? [], 'It came to nothing.')
}

function cut(i) {
	return table('The cut: rows below these offsets are in the document', [
		{ title: 'Partition', cell: (c) => `${c.topic}/${c.partition}` },
		{ title: 'Offset', number: true, cell: (c) => count(c.next) },
	], i.cut ?? [], 'Nothing had been read.')
}

const fileColumns = [
	{ title: 'File', cell: (f) => h('code', null, f.name) },
	{ title: 'Offsets', number: true, cell: (f) => `${count(f.firstOffset)} – ${count(f.lastOffset)}` },
	{ title: 'Rows', number: true, cell: (f) => count(f.rows) },
	{ title: 'Size', number: true, cell: (f) => bytes(f.bytes) },
	{ title: 'SHA-256', cell: (f) => h('code', { title: f.sha256 }, f.sha256.slice(0, 16) + '…') },
]
