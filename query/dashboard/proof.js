// A proof of an invoice, told while it is done.
import { h, section, mark, say } from './dom.js'
import { stream } from './stream.js'

// proof is the part of a page that proves at the press of a button. It ends with
// the page, and with Stop.
export function proof(path, leaving) {
	const lines = h('ol', { class: 'proof', 'aria-label': 'What was found right', hidden: true })
	const outcome = h('p', { role: 'status' })
	const stop = h('button', { type: 'button', class: 'plain', hidden: true }, 'Stop')
	const start = h('button', { type: 'button', onclick: run }, 'Prove it')
	async function run() {
		const halt = new AbortController()
		stop.onclick = () => halt.abort()
		start.disabled = true
		stop.hidden = false
		lines.replaceChildren()
		lines.hidden = false
		outcome.replaceChildren('Reading the archive …')
		let last
		try {
			await stream(path, (l) => {
				if (l.line) lines.append(h('li', null, l.line))
				else last = l
			}, AbortSignal.any([leaving, halt.signal]))
			outcome.replaceChildren(...told(last))
		} catch (failure) {
			outcome.replaceChildren(failure.name === 'AbortError' ? 'Stopped.' : mark('bad', 'not done'), failure.name === 'AbortError' ? '' : ' ' + failure.message)
		} finally {
			start.disabled = false
			stop.hidden = true
		}
		say(outcome.textContent)
	}
	return section('Proof', h('p', { class: 'hint' }, 'Every line is computed again from the Parquet files: rows, quantity, sum of hashes, price, amount. It ends at the first difference.'),
		h('div', { class: 'buttons' }, start, stop), outcome, lines)
}

function told(last) {
	if (last?.proven) return [mark('good', 'proven'), ' Every line is what the archive says.']
	if (last?.proven === false) return [mark('bad', 'not proven'), ' ' + last.difference]
	return [mark('bad', 'not done'), ' ' + (last?.error ?? 'The answer was cut off.')]
}
