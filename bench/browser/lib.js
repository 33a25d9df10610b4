// What every test of the dashboard needs: a signed-in page of a browser that asks
// nobody but the server, and the API to hold the page against.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { after } from 'node:test'
import axe from 'axe-core'
import { chromium } from 'playwright-core'

export const base = need('TALLYBOOK_URL'), key = need('TALLYBOOK_KEY')
const files = process.env.DASHBOARD // a folder to take the pages from in place of the binary's, while they are written

function need(name) {
	return process.env[name] ?? assert.fail(`${name} is not set: run.sh sets it`)
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu',
	'--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'] })
after(() => browser.close())

// signIn opens a page with a key, as the printed address does. What the page asks
// of another machine, and what it throws or reports, fails the test at its end.
export async function signIn(t, { as = key, dark = false, phone = false, height = phone ? 844 : 900, at = '' } = {}) {
	const context = await browser.newContext({ colorScheme: dark ? 'dark' : 'light', viewport: { width: phone ? 390 : 1280, height } })
	const page = await context.newPage(), faults = []
	page.setDefaultTimeout(20000)
	page.on('request', (r) => { if (!r.url().startsWith(base + '/') && !/^(data|blob):/.test(r.url())) faults.push('asked elsewhere: ' + r.url()) })
	page.on('pageerror', (e) => faults.push(String(e)))
	page.on('console', (m) => { if (m.type() === 'error' && !m.text().startsWith('Failed to load resource')) faults.push(m.text()) })
	if (files) await page.route('**/dashboard/**', async (r) => {
		const name = new URL(r.request().url()).pathname.slice('/dashboard/'.length)
		const type = { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }[name.split('.').pop()]
		await r.fulfill({ body: await readFile(`${files}/${name}`), contentType: type })
	})
	await page.goto(`${base}/#key=${as}`)
	await page.locator('nav[aria-label="Pages"]').waitFor()
	if (at) await open(page, at)
	t.after(async () => {
		await context.close()
		assert.deepEqual(faults, [])
	})
	return page
}

// open goes to an address of the dashboard and waits until it stands there.
export async function open(page, at) {
	await page.evaluate((hash) => { location.hash = hash }, at)
	await settled(page)
}

// settled waits until the page shows what its address names.
export async function settled(page) {
	await page.waitForFunction(() => document.querySelector('main h1') && !document.querySelector('main[aria-busy]'))
	await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))) // charts too
}

// ask is the API; the answer has ok, status and value.
export async function ask(method, path, { body, as = key, headers } = {}) {
	const answer = await fetch(base + path, { method, headers: { apiKey: as, ...(body && { 'Content-Type': 'application/json' }), ...headers }, body: body && JSON.stringify(body) })
	const text = await answer.text()
	let value = text
	try {
		value = JSON.parse(text)
	} catch {} // not every answer is JSON
	return { ok: answer.ok, status: answer.status, headers: answer.headers, value }
}

// until asks again until done answers something, for 20 s.
export async function until(what, done) {
	const end = Date.now() + 20000
	for (;;) {
		const found = await done()
		if (found) return found
		assert.ok(Date.now() < end, `waited in vain: ${what}`)
		await new Promise((r) => setTimeout(r, 100))
	}
}

// refused puts a record into the log that no event can be made of, past the
// collector, and returns the internal error that comes of it.
export async function refused(text, account = 'demo') {
	execFileSync('kcat', ['-P', '-b', need('TALLYBOOK_KAFKA'), '-t', 'usage', '-k', account, '-X', 'topic.partitioner=murmur2_random'], { input: text })
	return until('the internal error', async () => {
		const { value } = await ask('GET', '/v1/errors?internal=true&status=0')
		return value.errors.find((e) => e.input === text)
	})
}

// accessible holds a page against axe; findings that are serious fail.
export async function accessible(page, name) {
	if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axe.source)
	const { violations } = await page.evaluate(() => axe.run({ resultTypes: ['violations'] }))
	const serious = violations.filter((v) => ['serious', 'critical'].includes(v.impact))
	assert.deepEqual(serious.map((v) => `${name}: ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).slice(0, 3).join(', ')}`), [])
}

// looks are what a page has to look like itself in.
export const looks = [false, true].flatMap((phone) => [false, true].map((dark) => ({ phone, dark, look: `${phone ? 'phone' : 'wide'}-${dark ? 'dark' : 'light'}` })))

const folder = process.env.PICTURES // where pictures are kept, if anywhere
if (folder) await mkdir(folder, { recursive: true })

// looked takes a picture, and fails where something is cut or not accessible. A
// phone's dark has nothing for axe that a phone's light and a wide dark have not.
export async function looked(page, name, { phone, dark, look }) {
	if (folder) await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: true })
	await whole(page, `${name} ${look}`)
	if (!(phone && dark)) await accessible(page, `${name} ${look}`)
}

// whole fails where something is cut off at the side of the page, or lies on
// something else of it.
export async function whole(page, name) {
	const wide = await page.evaluate(() => {
		const width = document.documentElement.clientWidth
		const inScroll = (n) => n.closest('.scroll, pre, .chart, .skip, thead')
		const cut = [...document.querySelectorAll('body *')].filter((n) => !inScroll(n) && n.getBoundingClientRect().width && n.getBoundingClientRect().right > width + 1)
		return { over: document.documentElement.scrollWidth - width, cut: cut.slice(0, 3).map((n) => n.outerHTML.slice(0, 120)) }
	})
	assert.deepEqual({ ...wide, overlapping: await page.evaluate(overlapping) }, { over: 0, cut: [], overlapping: [] }, name)
}

// overlapping runs in the page: the pairs of texts and controls that lie on each
// other by more than 3 pixels each way (a line's box is higher than its letters).
export function overlapping() {
	const clip = (node, r) => {
		const frame = node.parentElement.closest('.scroll, pre')?.getBoundingClientRect()
		return frame ? { node, left: Math.max(r.left, frame.left), right: Math.min(r.right, frame.right), top: Math.max(r.top, frame.top), bottom: Math.min(r.bottom, frame.bottom) } : { node, left: r.left, right: r.right, top: r.top, bottom: r.bottom }
	}
	const boxes = [], words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), range = document.createRange()
	while (words.nextNode()) {
		if (!words.currentNode.data.trim() || !words.currentNode.parentElement.checkVisibility()) continue // nothing of a closed <details>
		range.selectNodeContents(words.currentNode)
		for (const r of range.getClientRects()) boxes.push(clip(words.currentNode, r))
	}
	for (const n of document.querySelectorAll('input, select, textarea, button, meter, progress, canvas')) if (n.checkVisibility()) boxes.push(clip(n, n.getBoundingClientRect()))
	const shown = boxes.filter((b) => b.right - b.left > 3 && b.bottom - b.top > 3 && b.right > 0 && !b.node.parentElement.closest('.chart, .skip, #said, dialog'))
	shown.sort((a, b) => a.top - b.top)
	const found = []
	shown.forEach((a, n) => {
		for (const b of shown.slice(n + 1)) {
			if (b.top > a.bottom - 3) break
			if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 3 && Math.min(a.bottom, b.bottom) - b.top > 3 && !a.node.contains(b.node) && !b.node.contains(a.node))
				found.push([a, b].map(({ node }) => node.data?.trim().slice(0, 40) ?? node.outerHTML.slice(0, 80)).join(' | '))
		}
	})
	return found.slice(0, 5)
}
