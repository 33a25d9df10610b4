// Jobs and their runs, and how one is run out of turn.
import { h, section, table, mark, time, duration, ms, say } from './dom.js'
import { ask, get, session } from './api.js'
import { address } from './app.js'

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
	return place
}

function state(j) {
	if (j.asked) return mark('warn', 'waits to begin')
	const [run] = j.runs
	if (!run) return '–'
	return [outcome(run), ' ', h('small', null, run.outcome === 'running' ? run.progress : run.error?.split('\n')[0].slice(0, 200))]
}

const busy = (j) => Boolean(j.asked) || j.runs[0]?.outcome === 'running'

// runButton asks for a run, and draws the jobs again until it is over.
function runButton(job, draw, { signal }) {
	return h('button', { type: 'button', class: 'plain', disabled: busy(job), 'aria-label': `Run ${job.name} now`, onclick: async (e) => {
		e.target.disabled = true
		try {
			await ask('POST', `/v1/jobs/${encodeURIComponent(job.name)}/run`)
			say(`${job.name} was asked for.`)
			await follow(job.name, draw, signal)
		} catch (failure) {
			if (failure.name !== 'AbortError') say(failure.message)
			e.target.disabled = false
		}
	} }, 'Run')
}

async function follow(name, draw, signal) {
	for (;;) {
		await new Promise((done) => setTimeout(done, 1000))
		if (signal.aborted || !session.who) return
		const { jobs } = await get('/v1/jobs', null, signal)
		const focused = document.activeElement?.getAttribute('aria-label')
		draw(jobs)
		if (focused) [...document.querySelectorAll('button')].find((b) => b.getAttribute('aria-label') === focused)?.focus()
		const job = jobs.find((j) => j.name === name)
		if (job && !busy(job)) {
			say(job.runs[0]?.outcome === 'ok' ? `${name} has run.` : `${name} failed: ${job.runs[0]?.error ?? ''}`)
			return
		}
	}
}

// jobPage has the runs of one job.
export async function jobPage(name, page) {
	const place = h('div')
	const draw = (jobs) => {
		const job = jobs.find((j) => j.name === name)
		place.replaceChildren(...(job ? one(job, draw, page) : [h('p', { class: 'nothing' }, 'There is no job of this name.')]))
	}
	draw((await get('/v1/jobs', null, page.signal)).jobs)
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
