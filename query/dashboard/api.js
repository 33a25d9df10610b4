// Questions to the server. The key is in a cookie that scripts do not see.

export class Refused extends Error {
	constructor(status, message) {
		super(message)
		this.status = status
	}
}

// who is the caller (GET /v1/whoami), account what an administrator looks at.
export const session = { who: null, account: '' }

// ask sends a request and returns what was answered: parsed JSON, or null.
export async function ask(method, path, { query, body, headers, signal } = {}) {
	const init = { method, signal, headers: { Accept: 'application/json', ...headers } }
	if (session.account && session.who?.role === 'admin') init.headers['X-Account-ID'] = session.account
	if (body !== undefined) {
		init.body = JSON.stringify(body)
		init.headers['Content-Type'] = 'application/json'
	}
	let answer
	try {
		answer = await fetch(withQuery(path, query), init)
	} catch (failure) {
		if (failure.name === 'AbortError') throw failure
		throw new Refused(0, 'The server does not answer. Is it running?')
	}
	const text = await answer.text()
	let value = null
	try {
		value = text ? JSON.parse(text) : null
	} catch {
		value = { error: text }
	}
	if (!answer.ok) {
		if (answer.status === 401) dispatchEvent(new Event('signed-out'))
		throw new Refused(answer.status, value?.error ?? value?.detail ?? value?.message ?? `${answer.status} ${answer.statusText}`)
	}
	if (value && typeof value === 'object' && !Array.isArray(value)) {
		Object.defineProperty(value, 'through', { value: answer.headers.get('X-Data-Through') })
		Object.defineProperty(value, 'source', { value: answer.headers.get('X-Data-Source') })
	}
	return value
}

export const get = (path, query, signal) => ask('GET', path, { query, signal })

// withQuery adds parameters; an array gives one several times, what is empty none.
export function withQuery(path, query) {
	const q = new URLSearchParams()
	for (const [name, value] of Object.entries(query ?? {})) {
		for (const v of [value].flat()) if (v != null && v !== '') q.append(name, v)
	}
	const text = q.toString()
	return text ? `${path}?${text}` : path
}

// curl is the same question for a shell; the key is the reader's own.
export function curl(path, query) {
	const account = session.account && session.who?.role === 'admin' ? ` -H 'X-Account-ID: ${session.account}'` : ''
	return `curl -H "apiKey: $KEY"${account} '${location.origin}${withQuery(path, query)}'`
}

// download saves an answer in another format as a file.
export async function download(path, query, accept, name) {
	const headers = { Accept: accept }
	if (session.account && session.who?.role === 'admin') headers['X-Account-ID'] = session.account
	const answer = await fetch(withQuery(path, query), { headers })
	if (!answer.ok) throw new Refused(answer.status, await answer.text())
	const link = document.createElement('a')
	link.href = URL.createObjectURL(await answer.blob())
	link.download = name
	link.click()
	setTimeout(() => URL.revokeObjectURL(link.href), 60000)
}
