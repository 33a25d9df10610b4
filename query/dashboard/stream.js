// Answers that come line by line while the work goes on.
import { Refused, session } from './api.js'

// stream posts, and hands each line of JSON to each as it comes. An answer that
// was cut off is a Refused too: its caller must not take a part for the whole.
export async function stream(path, each, signal) {
	const headers = session.account && session.who?.role === 'admin' ? { 'X-Account-ID': session.account } : {}
	let answer
	try {
		answer = await fetch(path, { method: 'POST', headers, signal })
	} catch (failure) {
		if (failure.name === 'AbortError') throw failure
		throw new Refused(0, 'The server does not answer. Is it running?')
	}
	if (!answer.ok) {
		if (answer.status === 401) dispatchEvent(new Event('signed-out'))
		const refused = await answer.json().catch(() => null)
		throw new Refused(answer.status, refused?.error ?? `${answer.status} ${answer.statusText}`)
	}
	const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
	let rest = ''
	try {
		for (let part = await reader.read(); !part.done; part = await reader.read()) {
			const lines = (rest + part.value).split('\n')
			rest = lines.pop()
			for (const line of lines) each(JSON.parse(line))
		}
	} catch (failure) {
		if (failure.name === 'AbortError') throw failure
		throw new Refused(0, 'The answer was cut off.')
	}
	if (rest) throw new Refused(0, 'The answer was cut off.')
}
