// The frame around the pages: who is signed in, where one is, what failed.
import { h, say, field } from './dom.js'
import { ask, get, session, Refused } from './api.js'

// A page's file exports render(params, {go, again, signal}), which returns its content:
// go leads to another address, again draws the page anew.
const pages = [
	{ path: 'overview', title: 'Overview' },
	{ path: 'usage', title: 'Usage' },
	{ path: 'events', title: 'Events' },
	{ path: 'errors', title: 'Errors' },
	{ path: 'mail', title: 'Mail' },
	{ path: 'customers', title: 'Customers', admin: true },
	{ path: 'invoices', title: 'Invoices' },
	{ path: 'pipeline', title: 'Pipeline', admin: true },
]

const main = document.getElementById('main')
const head = document.getElementById('head')
let leaving = new AbortController()

// where reads the address: #/usage?meter=requests&…
function where() {
	const [path, query] = location.hash.replace(/^#\/?/, '').split('?')
	const [name, ...rest] = path.split('/').filter(Boolean).map(decodeURIComponent)
	return { name: name ?? 'overview', rest, params: Object.fromEntries(new URLSearchParams(query)) }
}

// address is that of a page, for links.
export function address(name, params) {
	const q = new URLSearchParams(Object.entries(params ?? {}).filter(([, v]) => v != null && v !== ''))
	return `#/${name}${q.size ? '?' + q : ''}`
}

const go = (name, params) => { location.hash = address(name, params) }

function visible(page) {
	return !page.admin || session.who.role === 'admin'
}

async function show() {
	leaving.abort()
	leaving = new AbortController()
	const { signal } = leaving
	const { name, rest, params } = where()
	if (!session.who) return signIn()
	const page = pages.find((p) => p.path === name && visible(p))
	drawHead(page)
	if (!page) {
		main.replaceChildren(h('h1', null, 'There is no such page'), h('p', null, h('a', { href: address('overview') }, 'To the overview')))
		return
	}
	document.title = `${page.title} · Tallybook`
	main.setAttribute('aria-busy', 'true')
	let content
	try {
		const file = await import(`./pages/${page.path}.js`)
		content = await file.render({ ...params, rest }, { go, signal, again: show })
	} catch (failure) {
		if (failure.name === 'AbortError') return
		content = problem(failure)
	}
	if (signal.aborted) return
	main.removeAttribute('aria-busy')
	main.replaceChildren(h('h1', null, page.title), ...[content].flat(Infinity).filter(Boolean),
		h('p', { class: 'hint' }, 'Times are in UTC where no zone is named.'))
}

// problem is what stands where an answer was to stand.
export function problem(failure) {
	if (!(failure instanceof Refused)) console.error(failure)
	return h('div', { class: 'problem', role: 'alert' },
		h('p', null, failure instanceof Refused ? failure.message : 'This page has a fault: ' + failure.message),
		(!failure.status || failure.status >= 500 || failure.status === 429) && h('button', { type: 'button', onclick: show }, 'Try again'))
}

function drawHead(current) {
	const link = (p) => h('a', { href: address(p.path), 'aria-current': p === current && 'page' }, p.title)
	head.replaceChildren(
		h('a', { class: 'brand', href: address('overview') }, h('img', { src: '/dashboard/icon.svg', alt: '', width: 22, height: 22 }), 'Tallybook'),
		h('nav', { 'aria-label': 'Pages' }, pages.filter(visible).map(link)),
		h('div', { class: 'who' },
			session.who.role === 'admin' ? accountChoice() : h('span', null, session.who.account),
			h('a', { href: '/docs/' }, 'API'),
			session.who.keyId && h('button', { type: 'button', class: 'plain', onclick: signOut }, 'Sign out')))
}

// accountChoice lets an administrator look at one account, as X-Account-ID does.
function accountChoice() {
	const input = h('input', { type: 'text', value: session.account, placeholder: 'every account', size: 14, maxlength: 255, 'aria-label': 'Account' })
	return h('form', { onsubmit: (e) => {
		e.preventDefault()
		session.account = input.value.trim()
		sessionStorage.setItem('account', session.account)
		say(session.account ? `Showing account ${session.account}.` : 'Showing every account.')
		show()
	} }, input, h('button', { type: 'submit', class: 'plain' }, 'Show'))
}

function signIn(message) {
	leaving.abort() // an answer on its way is no longer for here
	document.title = 'Sign in · Tallybook'
	head.replaceChildren(h('span', { class: 'brand' }, h('img', { src: '/dashboard/icon.svg', alt: '', width: 22, height: 22 }), 'Tallybook'))
	const input = h('input', { type: 'password', name: 'key', autocomplete: 'current-password', required: true, size: 40 })
	const failed = h('p', { class: 'failed', role: 'alert' }, message)
	main.removeAttribute('aria-busy')
	main.replaceChildren(h('form', { class: 'signin', onsubmit: async (e) => {
		e.preventDefault()
		try {
			await enter(input.value.trim())
			show()
		} catch (failure) {
			failed.textContent = failure.message
			input.select()
		}
	} }, h('h1', null, 'Sign in'), field('Key', input, 'Of an administrator, or of your account. It is kept in a cookie that scripts do not see.'),
	failed, h('button', { type: 'submit' }, 'Sign in')))
	input.focus()
}

async function enter(key) {
	session.who = await ask('POST', '/session', { headers: { apiKey: key } })
	session.account = sessionStorage.getItem('account') ?? ''
}

async function signOut() {
	await ask('DELETE', '/session')
	session.who = null
	sessionStorage.clear()
	signIn()
}

addEventListener('signed-out', () => {
	if (!session.who) return
	session.who = null
	leaving.abort() // the page that was refused shows nothing more
	signIn('The key is no longer good, or the session is over.')
})
addEventListener('hashchange', () => {
	show().then(() => main.focus({ preventScroll: true }))
	scrollTo(0, 0)
})

// The address that the program prints has the key behind the #, which no server
// and no log sees; it leaves the address at once.
async function start() {
	const given = location.hash.match(/^#key=(.+)$/)
	if (given) {
		history.replaceState(null, '', '#/overview')
		try {
			await enter(decodeURIComponent(given[1]))
		} catch (failure) {
			return signIn(failure.message)
		}
		return show()
	}
	try {
		session.who = await get('/v1/whoami')
		session.account = sessionStorage.getItem('account') ?? ''
	} catch (failure) {
		if (failure.status === 401) return signIn()
		return main.replaceChildren(problem(failure))
	}
	show()
}

start()
