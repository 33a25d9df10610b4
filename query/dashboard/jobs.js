// Jobs and their runs, and how one is run out of turn.
import { h, section, table, mark, time, duration, ms, say } from './dom.js'
import { ask, get } from './api.js'
import { address } from './app.js'
import { everySecond } from './parts.js'

const kinds = { ok: 'good', error: 'bad', lost: 'warn', running: 'warn' }

// outcome is how a run ended.
export const outcome = (run) => mark(kinds[run.outcome] ?? 'quiet', { ok: 'good', error: 'failed', lost: 'its process was lost', running: 'runs' }[run.outcome] ?? run.outcome)

const took = (run) => {
	if (!run.endedAt) return '–'
	const lasted = Date.parse(run.endedAt) - Date.parse(run.beganAt)
	return lasted < 1000 ? ms(lasted) : duration(lasted)
}

export async function jobsPage(page) {
	const place = h('div')
	const { jobs } = await get('/v1/jobs', null, page.signal)
	const draw = (list) => place.replaceChildren(section(null, table('Jobs, their schedules in UTC and last runs', [
		{ title: 'Job', cell: (j) => h('a', { href: address('pipeline/jobs/' + encodeURIComponent(j.name)) }, j.name) },
		{ title: 'Schedule', cell: (j) => h('code', null, j.schedule || '–') },
		{ title: 'Last run', cell: (j) => (j.runs[0] ? time(j.runs[0].beganAt) : '–') },
		{ title: 'Took', number: true, cell: (j) => (j.runs[0] ? took(j.runs[0]) : '–') },
		{ title: 'Outcome', cell: state },
		{ title: 'Now', cell: (j) => runButton(j, draw, page) },
	], list, 'No process has run jobs yet.')))
	draw(jobs)
	if (jobs.some(busy)) follow(draw, page.signal)
	return place
}

function state(j) {
	if (j.asked) return mark('warn', 'waits to begin')
	const [run] = j.runs
	if (!run) return '–'
	return [outcome(run), ' ', h('small', null, run.outcome === 'running' ? run.progress : run.error?.split('\n')[0].slice(0, 200))]
}

const busy = (j) => Boolean(j.asked) || j.runs[0]?.outcome === 'running'

// runButton asks for a run, and shows how it goes.
function runButton(job, draw, { signal }) {
	return h('button', { type: 'button', class: 'plain', disabled: busy(job), 'aria-label': `Run ${job.name} now`, onclick: async (e) => {
		e.target.disabled = true
		try {
			await ask('POST', `/v1/jobs/${encodeURIComponent(job.name)}/run`)
			say(`${job.name} was asked for.`)
			asked.add(job.name)
			follow(draw, signal)
		} catch (failure) {
			if (failure.name !== 'AbortError') say(failure.message)
			e.target.disabled = false
		}
	} }, 'Run')
}

const asked = new Set() // here, whose end is still to be told
let following = 0

// follow draws the jobs anew while one is at work; the latest call goes on alone.
function follow(draw, signal) {
	const mine = ++following
	return everySecond(signal, async () => {
		if (mine !== following) return false
		const { jobs } = await get('/v1/jobs', null, signal)
		const focused = document.activeElement?.getAttribute('aria-label')
		draw(jobs)
		if (focused) [...document.querySelectorAll('button')].find((b) => b.getAttribute('aria-label') === focused)?.focus()
		for (const job of jobs.filter((j) => asked.has(j.name) && !busy(j))) {
			asked.delete(job.name)
			say(job.runs[0]?.outcome === 'ok' ? `${job.name} has run.` : `${job.name} failed: ${job.runs[0]?.error ?? ''}`)
		}
		return jobs.some(busy)
	})
}

// jobPage has the runs of one job.
export async function jobPage(name, page) {
	const place = h('div')
	const draw = (jobs) => {
		const job = jobs.find((j) => j.name === name)
		place.replaceChildren(...(job ? one(job, draw, page) : [h('p', { class: 'nothing' }, 'There is no job of this name.')]))
	}
	const { jobs } = await get('/v1/jobs', null, page.signal)
	draw(jobs)
	if (jobs.some(busy)) follow(draw, page.signal)
	return place
}

function one(job, draw, page) {
	const [last] = job.runs
	return [section(job.name, h('p', { class: 'hint' }, 'Schedule ', h('code', null, job.schedule || '–'), ' in UTC. ', job.asked && mark('warn', 'waits to begin')),
		last?.outcome === 'running' && h('p', { role: 'status' }, 'It runs', last.progress ? ': ' + last.progress : '.'),
		h('div', { class: 'buttons' }, runButton(job, draw, page))),
	section(null, table('The latest runs', [
		{ title: 'Run', number: true, cell: (r) => r.number },
		{ title: 'Began', cell: (r) => time(r.beganAt) },
		{ title: 'Took', number: true, cell: took },
		{ title: 'Outcome', cell: outcome },
		{ title: 'By', cell: (r) => h('code', null, r.holder) },
		{ title: 'What it said', cell: (r) => (r.error ? h('pre', { class: 'code' }, r.error) : r.progress ?? '–') },
	], job.runs, 'It has not run yet.'))]
}
