// Elements, and how values are shown.

// h makes an element: attributes, listeners (onclick: fn) and children; null and
// false are left out. Text is never read as HTML.
export function h(tag, attributes, ...children) {
	const node = document.createElement(tag)
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (value == null || value === false) continue
		if (typeof value === 'function') node.addEventListener(name.slice(2), value)
		else if (name === 'value' || name === 'checked') node[name] = value
		else node.setAttribute(name, value === true ? '' : value)
	}
	node.append(...children.flat(Infinity).filter((c) => c != null && c !== false))
	return node
}

// table shows rows. columns: [{title, cell(row), number, label}]; of a phone's
// width a row becomes a card, with each column's title beside its value.
export function table(caption, columns, rows, nothing = 'Nothing here yet.') {
	if (!rows.length) return h('p', { class: 'nothing' }, nothing)
	return h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption },
		h('table', null,
			h('caption', null, caption),
			h('thead', null, h('tr', null, columns.map((c) => h('th', { scope: 'col', class: c.number && 'number' }, c.title)))),
			h('tbody', null, rows.map((row) => h('tr', null, columns.map((c) => cell(c, c.cell(row))))))))
}

// cell keeps what is several things together beside the title on a phone.
function cell(column, content) {
	return h('td', { class: column.number && 'number', 'data-title': column.title }, Array.isArray(content) ? h('div', null, content) : content)
}

// section is a part of a page under a heading.
export function section(title, ...children) {
	return h('section', null, title && h('h2', null, title), ...children)
}

// field is a labelled control.
export function field(label, control, hint) {
	return h('label', { class: 'field' }, h('span', null, label), control, hint && h('small', null, hint))
}

// select is a control of [value, text] pairs.
export function select(options, chosen, attributes) {
	return h('select', attributes, options.map(([value, text]) => h('option', { value, selected: value === chosen }, text ?? value)))
}

// mark is a word with a colour that says how things are: good, warn, bad, quiet.
export const mark = (kind, text) => h('span', { class: 'mark ' + kind }, text)

// said tells what was done to who cannot see it too.
export function say(text) {
	const place = document.getElementById('said')
	place.textContent = text
	clearTimeout(say.timer)
	say.timer = setTimeout(() => { place.textContent = '' }, 6000)
}

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

export const count = (n) => (n == null ? '–' : whole.format(n))
export const compact = (n) => (n == null ? '–' : short.format(n))
export const bytes = (n) => (n == null ? '–' : n < 1024 ? n + ' B' : n < 1 << 20 ? (n / 1024).toFixed(1) + ' KiB' : n < 2 ** 30 ? (n / 2 ** 20).toFixed(1) + ' MiB' : (n / 2 ** 30).toFixed(1) + ' GiB')
export const ms = (n) => (typeof n !== 'number' ? '–' : n < 1000 ? Number(n.toPrecision(3)) + ' ms' : (n / 1000).toFixed(2) + ' s')

// time is a moment in UTC, as everything inside is, or in a zone that the page
// names beside it; the title has it in full.
export function time(value, zone = 'UTC') {
	if (!value) return '–'
	const text = new Date(value).toISOString()
	return h('time', { datetime: text, title: text }, wall(value, zone))
}

// wall is what clocks of a zone show, as 2026-01-31 23:59:59.
export function wall(value, zone) {
	const parts = new Intl.DateTimeFormat('en', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
		.formatToParts(new Date(value))
	const p = Object.fromEntries(parts.map(({ type, value: text }) => [type, text]))
	return `${p.year}-${p.month}-${p.day} ${p.hour}:${p.minute}:${p.second}`
}

// ago is how long something took or is past, in the largest unit that says something.
export function duration(milliseconds) {
	const s = milliseconds / 1000
	if (s < 10) return s.toFixed(1) + ' s'
	if (s < 120) return Math.round(s) + ' s'
	if (s < 7200) return Math.round(s / 60) + ' min'
	if (s < 172800) return Math.round(s / 3600) + ' h'
	return Math.round(s / 86400) + ' d'
}
