// What each page weighs, and how long the API takes for it: opened with nothing in
// the browser's cache. Times are printed and not held: the machine is others' too.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { base, settled, signIn } from './lib.js'

const most = 300_000 // bytes that come over the wire

test('no page weighs 300 kB', async (t) => {
	const page = await signIn(t)
	const devtools = await page.context().newCDPSession(page)
	console.log('page           bytes  requests  slowest answer of the API')
	for (const name of ['overview', 'usage', 'events', 'errors', 'mail', 'customers', 'invoices', 'pipeline']) {
		await devtools.send('Network.clearBrowserCache')
		await page.goto('about:blank')
		await page.goto(`${base}/#/${name}`)
		await settled(page)
		const all = await page.evaluate(() => [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
			.map((e) => ({ bytes: e.transferSize, took: e.responseEnd - e.requestStart, asked: e.initiatorType === 'fetch' ? new URL(e.name).pathname : null })))
		const bytes = all.reduce((sum, e) => sum + e.bytes, 0)
		const [slow] = all.filter((e) => e.asked).sort((a, b) => b.took - a.took)
		console.log(`${name.padEnd(12)} ${String(bytes).padStart(7)} ${String(all.length).padStart(9)}  ${slow.took.toFixed(0).padStart(4)} ms ${slow.asked}`)
		assert.ok(bytes > 50_000 && bytes < most, `${name}: ${bytes} bytes`)
	}
})
