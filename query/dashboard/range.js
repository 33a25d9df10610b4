// Which days a page shows where nobody chose any.
import { get } from './api.js'

export const hour = 3600e3, day = 24 * hour
export const iso = (t) => new Date(t).toISOString().replace('.000', '')

// latest is the last days of a meter that have events: those up to now, or where
// these have none, up to the last day that has; {from, to, now}.
export async function latest(meter, days, signal) {
	const to = Math.floor(Date.now() / hour) * hour + hour
	const ask = async (from, until, windowSize) => {
		const { data } = await get(`/api/v1/meters/${meter}/query`, { from: iso(from), to: iso(until), windowSize }, signal)
		return data.filter((d) => Number(d.value) > 0).map((d) => Date.parse(d.windowStart)).sort((a, b) => b - a)[0]
	}
	const now = { from: to - days * day, to, now: true }
	if (await ask(now.from, to, days > 7 ? 'DAY' : 'HOUR') !== undefined) return now
	const at = new Date(to)
	const month = await ask(Date.UTC(at.getUTCFullYear() - 3, 0), Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + 1), 'MONTH')
	if (month === undefined) return now
	const m = new Date(month)
	const last = await ask(month, Date.UTC(m.getUTCFullYear(), m.getUTCMonth() + 1), 'DAY')
	return last === undefined ? now : { from: last - (days - 1) * day, to: last + day, now: false }
}
