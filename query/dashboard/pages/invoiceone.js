// One document: its lines, its proof, and what can be done with it.
import { h, section, table, field, select, time } from '../dom.js'
import { ask, get, download, session } from '../api.js'
import { address } from '../app.js'
import { action, facts, sure } from '../parts.js'
import { proof } from '../proof.js'
import { marks, money, name } from './invoices.js'

export async function render(id, page) {
	const i = await get('/v1/invoices/' + encodeURIComponent(id), null, page.signal)
	const admin = session.who.role === 'admin'
	return [
		h('p', { class: 'lead' }, h('a', { href: address('invoices') }, 'All invoices'), ' / ', h('strong', null, name(i)), ' ', marks(i)),
		section(`${money(i.total, i.currency)} for ${i.customer.name}`, facts([
			['Month', i.month], [`Period (${i.customer.timezone})`, [time(i.periodStart, i.customer.timezone), ' to ', time(i.periodEnd, i.customer.timezone)]],
			['Account', i.customer.account], ['Issued', i.issuedAt && time(i.issuedAt)], ['Made', time(i.createdAt)],
			['Takes back', i.creditFor], ['Reason', i.reason],
			['Requests without a price', i.unrated?.rows ? `${i.unrated.rows}, quantity ${i.unrated.quantity}` : null],
			['SHA-256 of the document', h('code', null, i.digest)],
		]), downloads(i)),
		section('Lines', lines(i), taxes(i)),
		admin && proof(`/v1/invoices/${encodeURIComponent(i.id)}/prove`, page.signal),
		admin && i.status === 'final' && changes(i, page),
	]
}

function downloads(i) {
	const save = (format, type, text) => action(text, async () => {
		await download(`/v1/invoices/${encodeURIComponent(i.id)}/download`, { format }, type, `${i.number ?? 'draft-' + i.id}.${format}`)
		return `${text} is saved.`
	})
	return h('div', { class: 'buttons' }, save('pdf', 'application/pdf', 'PDF'), save('csv', 'text/csv', 'CSV'), save('html', 'text/html', 'HTML'))
}

// title is what a line is of.
export function title(l) {
	if (l.price.model === 'minimum') return 'Minimum commitment'
	return [l.price.api, l.price.version, l.price.endpoint || 'every endpoint'].join(' ')
}

function lines(i) {
	return table('What each price came to', [
		{ title: 'Line', cell: (l) => h('a', { href: address(`invoices/${encodeURIComponent(i.id)}/${i.lines.indexOf(l) + 1}`) }, `${i.lines.indexOf(l) + 1}. ${title(l)}`) },
		{ title: 'Kind', cell: (l) => (l.kind === 'usage' ? 'usage' : `${l.kind} of ${l.month}`) },
		{ title: 'Price', cell: (l) => (l.price.model === 'minimum' ? '–' : `version ${l.price.priceVersion}, ${l.price.model.replaceAll('_', ' ')}`) },
		{ title: 'Quantity', number: true, cell: (l) => l.quantity },
		{ title: 'Amount', number: true, cell: (l) => money(l.amount, i.currency) },
	], i.lines ?? [], 'Nothing is billed on it.')
}

function taxes(i) {
	if (!i.taxes.length) return null
	return table('Taxes', [
		{ title: 'Tax', cell: (t) => `${t.name}, ${t.percent} %` },
		{ title: 'On', number: true, cell: (t) => money(t.base, i.currency) },
		{ title: 'Amount', number: true, cell: (t) => money(t.amount, i.currency) },
	], i.taxes)
}

// changes are those of a final invoice: paid or not, void, credited.
function changes(i, page) {
	const path = '/v1/invoices/' + encodeURIComponent(i.id)
	const payment = i.payment && select([['open'], ['overdue'], ['paid']], i.payment)
	const reason = h('input', { type: 'text', required: true, maxlength: 1000, size: 40 })
	return section('Change it', i.payment && h('div', { class: 'beside' }, field('Payment', payment), action('Save', async () => {
		await ask('PATCH', path, { body: { payment: payment.value } })
		await page.again()
		return `${i.number} is ${payment.value}.`
	})),
	i.kind === 'invoice' && h('div', { class: 'buttons' },
		action('Void…', async () => {
			if (!await sure(`Void ${i.number}?`, 'It keeps its number, and its period is not billed again. This cannot be undone.', 'Void it')) return null
			await ask('POST', path + '/void')
			await page.again()
			return `${i.number} is void.`
		}, { class: 'danger' }),
		action('Credit…', async () => {
			if (!await sure(`Credit ${i.number}?`, 'A credit note takes all of it back, and its customer is told. This cannot be undone.', 'Credit it', field('Reason, which stands on it', reason))) return null
			const note = await ask('POST', path + '/credit', { body: { reason: reason.value.trim() } })
			page.go('invoices/' + encodeURIComponent(note.id))
			return `${note.number} takes ${i.number} back.`
		}, { class: 'danger' })))
}
