// Parts that several pages have: the ways within a page, the facts of one thing,
// pages of a list, and questions before what cannot be undone.
import { h, say } from './dom.js'
import { session } from './api.js'
import { address, problem } from './app.js'

// tabs are the sides of a page: [[path, title]], the current one marked.
export function tabs(label, sides, current) {
	return h('nav', { class: 'tabs', 'aria-label': label },
		sides.map(([path, title]) => h('a', { href: address(path), 'aria-current': path === current && 'page' }, title)))
}

// facts are names and values of one thing; what is null is left out.
export function facts(pairs) {
	return h('dl', { class: 'facts' }, pairs.filter(([, value]) => value != null && value !== '').map(([name, value]) => h('div', null, h('dt', null, name), h('dd', null, value))))
}

// pager leads to the next page of a list and back to its first one.
export function pager(path, { rest, cursor, ...filters }, next) {
	if (!cursor && !next) return null
	return h('nav', { class: 'buttons', 'aria-label': 'Pages of the list' },
		cursor && h('a', { class: 'button plain', href: address(path, filters) }, 'First page'),
		next && h('a', { class: 'button plain', href: address(path, { ...filters, cursor: next }) }, 'Next page'))
}

// filters is a form whose controls become the parameters of the page at path.
export function filters(path, go, controls, ...more) {
	return h('form', { class: 'question', onsubmit: (e) => {
		e.preventDefault()
		go(path, Object.fromEntries(Object.entries(controls).map(([name, control]) => [name, control.value.trim()])))
	} }, more, h('button', { type: 'submit' }, 'Show'))
}

// under is what stands under a form: what work returns, or why there is nothing;
// the form stays, so that what was asked wrongly can be mended.
export async function under(form, work) {
	try {
		return [form, ...await work()]
	} catch (failure) {
		if (failure.name === 'AbortError') throw failure
		return [form, problem(failure)]
	}
}

// everySecond does work, which says whether to go on, until the page is left.
export async function everySecond(signal, work) {
	try {
		do {
			await new Promise((done) => setTimeout(done, 1000))
		} while (!signal.aborted && session.who && await work())
	} catch (failure) {
		if (failure.name !== 'AbortError') say(failure.message)
	}
}

// sure asks before something is done; true where the answer was verb.
export function sure(title, text, verb, ...more) {
	return new Promise((answer) => {
		const dialog = h('dialog', { 'aria-labelledby': 'sure', onclose: () => {
			dialog.remove()
			answer(dialog.returnValue === 'yes')
		} }, h('form', { method: 'dialog' }, h('h2', { id: 'sure' }, title), h('p', null, text), more,
			h('div', { class: 'buttons' }, h('button', { value: 'yes', class: 'danger' }, verb), h('button', { value: 'no', class: 'plain', formnovalidate: true }, 'Leave it'))))
		document.body.append(dialog)
		dialog.showModal()
	})
}

// action is a button that does something, says so, and cannot be pressed twice meanwhile.
export function action(text, work, attributes) {
	const button = h('button', { type: 'button', class: 'plain', ...attributes, onclick: async () => {
		button.disabled = true
		try {
			const done = await work()
			if (done) say(done)
		} catch (failure) {
			say(failure.message)
		} finally {
			button.disabled = false
		}
	} }, text)
	return button
}
