// Keys: made here and shown once, revoked here.
import { h, section, table, field, select, mark, time, say } from '../dom.js'
import { ask, get, session } from '../api.js'
import { action, pager, sure } from '../parts.js'

const roles = [['account', 'account: reads and writes its own'], ['ingest', 'ingest: only writes'], ['admin', 'admin: everything']]

export async function render(params, page) {
	const answer = await get('/v1/keys', { cursor: params.cursor, limit: 50 }, page.signal)
	return [
		maker(page),
		section(null, table('Keys', [
			{ title: 'Name', cell: (k) => k.name || '–' },
			{ title: 'Role', cell: (k) => k.role + (k.customer ? ', of a customer' : '') },
			{ title: 'Account', cell: (k) => (k.account === '*' ? 'any' : k.account || '–') },
			{ title: 'Id', cell: (k) => h('code', null, k.id) },
			{ title: 'Made', cell: (k) => time(k.createdAt) },
			{ title: 'State', cell: (k) => (k.revokedAt ? [mark('quiet', 'revoked'), ' ', time(k.revokedAt)] : k.id === session.who.keyId ? mark('good', 'yours') : mark('good', 'good')) },
			{ title: 'Revoke', cell: (k) => (k.revokedAt ? '–' : revoke(k, page)) },
		], answer.keys), pager('customers/keys', params, answer.next)),
	]
}

function revoke(k, page) {
	const name = k.name || k.id
	return action('Revoke…', async () => {
		if (!await sure(`Revoke the key ${name}?`, k.id === session.who.keyId ? 'It is the one that you are signed in with. This cannot be undone.'
			: 'Whoever uses it is refused from the next second on. This cannot be undone.', 'Revoke it')) return null
		await ask('DELETE', '/v1/keys/' + encodeURIComponent(k.id))
		await page.again()
		return `The key ${name} is revoked.`
	}, { class: 'danger', 'aria-label': `Revoke the key ${name}` })
}

function maker(page) {
	const role = select(roles, 'account'), account = h('input', { type: 'text', value: session.account, maxlength: 255, size: 16 })
	const name = h('input', { type: 'text', maxlength: 255, size: 16 })
	const made = h('div', { role: 'status' })
	return section('Make a key', h('form', { class: 'inline', onsubmit: async (e) => {
		e.preventDefault()
		try {
			const k = await ask('POST', '/v1/keys', { body: { role: role.value, account: role.value === 'admin' ? '' : account.value.trim(), name: name.value.trim() } })
			made.replaceChildren(shown(k, page))
		} catch (failure) {
			made.replaceChildren(h('p', { class: 'failed' }, failure.message))
		}
	} }, field('Role', role), field('Account', account, 'Not of an administrator’s key.'), field('Name', name), h('button', { type: 'submit' }, 'Make it')), made)
}

// shown is the one time that a key can be seen.
function shown(k, page) {
	return h('div', null, h('p', null, 'The key, shown this once:'), h('pre', { class: 'code', id: 'made' }, k.key), h('div', { class: 'buttons' },
		h('button', { type: 'button', class: 'plain', onclick: async () => {
			try {
				await navigator.clipboard.writeText(k.key)
				say('Copied.')
			} catch {
				say('The browser does not let this page copy; mark the key instead.')
			}
		} }, 'Copy'), h('button', { type: 'button', class: 'plain', onclick: () => page.again() }, 'I have it')))
}
