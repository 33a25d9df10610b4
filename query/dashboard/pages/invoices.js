// Invoices and credit notes: the list; one of them; one of its lines.
import { h, section, table, field, select, mark, time } from '../dom.js'
import { get, session } from '../api.js'
import { address } from '../app.js'
import { filters, pager } from '../parts.js'

const statuses = [['', 'any'], ['draft', 'draft'], ['final', 'final'], ['void', 'void'], ['credited', 'credited']]
const payments = [['', 'any'], ['open', 'open'], ['paid', 'paid'], ['overdue', 'overdue']]

export async function render(params, page) {
	const [id, line] = params.rest
	if (id && line) return (await import('./invoiceline.js')).render(id, Number(line), params, page)
	if (id) return (await import('./invoiceone.js')).render(id, page)
	return list(params, page)
}

async function list(params, { go, signal }) {
	const { month, status, payment, customer, cursor } = params
	const answer = await get('/v1/invoices', { month, status, payment, customer, cursor, limit: 50 }, signal)
	const admin = session.who.role === 'admin'
	const controls = {
		month: h('input', { type: 'text', value: month ?? '', placeholder: 'YYYY-MM', pattern: '[0-9]{4}-(0[1-9]|1[0-2])', size: 9, maxlength: 7 }),
		status: select(admin ? statuses : statuses.filter(([s]) => s !== 'draft'), status ?? ''),
		payment: select(payments, payment ?? ''),
		customer: h('input', { type: 'text', value: customer ?? '', placeholder: 'id', size: 16, maxlength: 64 }),
	}
	return [
		filters('invoices', go, controls, field('Month', controls.month), field('Status', controls.status), field('Payment', controls.payment),
			admin && field('Customer', controls.customer)),
		section(null, table('Invoices and credit notes, newest first', columns, answer.invoices,
			month || status || payment || customer ? 'No document is so. Choose other filters.'
				: admin ? ['No invoice yet. The job ', h('a', { href: address('pipeline/jobs/invoices') }, 'invoices'), ' makes one for each customer and month.']
					: 'No invoice yet.'),
		pager('invoices', params, answer.next)),
	]
}

const columns = [
	{ title: 'Number', cell: (i) => h('a', { href: address('invoices/' + encodeURIComponent(i.id)) }, name(i)) },
	{ title: 'Month', cell: (i) => i.month },
	{ title: 'Customer', cell: (i) => i.customer.name },
	{ title: 'Issued', cell: (i) => time(i.issuedAt) },
	{ title: 'Status', cell: (i) => marks(i) },
	{ title: 'Total', number: true, cell: (i) => money(i.total, i.currency) },
]

// name is a document's number, or what it is without one.
export const name = (i) => i.number ?? `${i.kind === 'invoice' ? 'Draft' : 'Draft credit note'} of ${i.month}`

export const money = (amount, currency) => `${amount} ${currency}`

const kinds = { draft: 'quiet', final: 'good', void: 'quiet', credited: 'warn', open: 'warn', paid: 'good', overdue: 'bad' }

export const marks = (i) => h('span', { class: 'marks' }, mark(kinds[i.status], i.status), i.payment && mark(kinds[i.payment], i.payment))
