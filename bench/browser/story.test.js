// What people do here: sign in, look at a number, settle errors, correct events.
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { accessible, ask, base, key, open, refused, settled, signIn, until, whole } from './lib.js'

test('signing in and out', async (t) => {
	const page = await signIn(t)
	assert.equal(new URL(page.url()).hash, '#/overview', 'the key leaves the address')
	assert.equal(await page.evaluate(() => document.cookie), '', 'no script sees the key')
	await page.getByRole('button', { name: 'Sign out' }).click()
	await page.getByLabel('Key').fill('wrong')
	await page.getByRole('button', { name: 'Sign in' }).click()
	await page.getByText('the key is unknown or revoked').waitFor()
	await accessible(page, 'sign in')
	await page.getByLabel('Key').fill(key)
	await page.keyboard.press('Enter')
	await page.getByRole('heading', { name: 'Overview' }).waitFor()
})

test('usage comes to what the API says', async (t) => {
	const page = await signIn(t, { at: '#/usage?meter=requests&from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z' })
	await page.getByLabel('Group by').selectOption('status')
	await page.getByLabel('Filter').fill('method=GET')
	await page.getByRole('button', { name: 'Show', exact: true }).last().click()
	await page.locator('th', { hasText: 'status' }).waitFor()
	const { value } = await ask('GET', '/api/v1/meters/requests/query?from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z&filterGroupBy[method]=GET')
	assert.ok(value.data[0].value > 0)
	assert.equal(await page.locator('#total strong').innerText(), value.data[0].value.toLocaleString('en'))
})

test('a day of another zone is shown as its clocks have it', async (t) => {
	const page = await signIn(t, { at: '#/usage?meter=requests&window=DAY&zone=Asia/Tokyo&from=2026-01-12T15:00:00Z&to=2026-01-13T15:00:00Z' })
	await page.getByText('From (Asia/Tokyo)').first().waitFor()
	const { value } = await ask('GET', '/api/v1/meters/requests/query?windowSize=DAY&windowTimeZone=Asia/Tokyo&from=2026-01-12T15:00:00Z&to=2026-01-13T15:00:00Z')
	assert.deepEqual(await page.locator('main tbody td').allTextContents(), ['2026-01-13 00:00:00', '2026-01-14 00:00:00', String(value.data[0].value)])
})

test('the question is an address, a line for a shell, and files', async (t) => {
	const page = await signIn(t, { at: '#/usage?meter=requests&window=DAY&group=method&filter=api%3Dshop&from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z' })
	const line = await page.locator('pre.code', { hasText: 'curl' }).textContent()
	const said = JSON.parse(execFileSync('sh', ['-c', line.replace('curl ', 'curl -sS ')], { env: { ...process.env, KEY: key } }))
	assert.equal(await page.locator('#total strong').textContent(), said.data.reduce((sum, d) => sum + d.value, 0).toLocaleString('en'))
	for (const [name, file] of [['CSV', 'requests.csv'], ['Arrow', 'requests.arrows']]) {
		const saving = page.waitForEvent('download')
		await page.getByRole('button', { name: `Download ${name}` }).click()
		const saved = await saving, content = await readFile(await saved.path())
		assert.equal(saved.suggestedFilename(), file)
		if (name === 'CSV') assert.equal(content.toString().trim().split('\n').length, said.data.length + 1)
		else assert.equal(content.readUInt32LE(0), 0xffffffff, 'a message of an Arrow stream')
	}
})

test('a filter that says nothing is refused', async (t) => {
	const page = await signIn(t, { at: '#/usage?filter=status' })
	await page.getByRole('alert').getByText('name=value').waitFor()
})

test('a server that is away is said, and asked again', async (t) => {
	const page = await signIn(t, { at: '#/errors' })
	const away = (route) => route.abort()
	await page.route(/\/(v1|api)\//, away)
	for (const [name, at] of [['usage', '#/usage'], ['invoices', '#/invoices']]) {
		await open(page, at)
		await page.getByRole('alert').getByText('The server does not answer').waitFor()
		await accessible(page, `${name} without a server`)
	}
	await page.unroute(/\/(v1|api)\//, away)
	await page.getByRole('button', { name: 'Try again' }).click()
	await page.getByRole('region', { name: 'Invoices and credit notes' }).waitFor()
})

test('errors are narrowed to a code and a route', async (t) => {
	const range = 'from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z'
	const page = await signIn(t, { at: `#/errors?${range}` })
	await page.getByRole('link', { name: 'timeout' }).click()
	const rows = page.getByRole('region', { name: 'Errors, newest first' }).locator('tbody tr')
	await page.waitForFunction(() => location.hash.includes('code=timeout'))
	await settled(page)
	const { value } = await ask('GET', `/api/v1/meters/errors/query?${range}&filterGroupBy[error_code]=timeout`)
	assert.equal(await rows.count(), value.data[0].value)
	await page.getByRole('link', { name: '/v1/search' }).click()
	await page.waitForFunction(() => location.hash.includes('route='))
	await settled(page)
	assert.equal(await rows.count(), value.data[0].value)
	assert.equal(await rows.filter({ hasText: '/v1/search' }).count(), value.data[0].value)
})

test('an import is followed', async (t) => {
	const page = await signIn(t)
	const { value } = await ask('GET', '/v1/pipeline')
	const [done] = value.imports
	let read = done.bytes / 2 // it moves on with every question
	await page.route('**/v1/pipeline', (r) => {
		const finishedAt = read < done.bytes ? null : done.finishedAt
		const answer = { ...value, imports: [{ ...done, name: 'slow.log', read, finishedAt }] }
		read += done.bytes / 4
		return r.fulfill({ json: answer })
	})
	await open(page, '#/pipeline/imports')
	await page.locator('tr', { hasText: 'slow.log' }).locator('progress').waitFor()
	await page.locator('tr', { hasText: 'slow.log' }).getByText('all of it').waitFor()
})

test('a question that is refused can be mended', async (t) => {
	const page = await signIn(t, { at: '#/usage?from=yesterday&to=2026-01-15T00:00:00Z' })
	await page.getByRole('alert').getByText('from must be').waitFor()
	await page.getByLabel('From').fill('2026-01-12T00:00:00Z')
	await page.keyboard.press('Enter')
	await page.locator('#total').waitFor()
})

test('an internal error is resolved, opened and sent again', async (t) => {
	const text = `{"specversion":"1.0","id":"browser-${Date.now()}"`
	const { id } = await refused(text)
	const page = await signIn(t, { at: '#/errors/internal' })
	await page.locator(`a[href="#/errors/internal/${id}"]`).click()
	await page.locator('#input').waitFor()
	assert.equal(await page.locator('#input').innerText(), text)
	await page.getByRole('button', { name: 'Resolve' }).click()
	await page.getByRole('button', { name: 'Open again' }).click()
	await page.getByRole('button', { name: 'Resolve' }).waitFor()
	await page.getByRole('button', { name: 'Send again' }).click()
	await page.getByRole('button', { name: 'Leave it' }).click()
	assert.equal((await ask('GET', `/v1/errors/${id}`)).value.status, 0, 'asked back, and left')
	await page.getByRole('button', { name: 'Send again' }).click()
	await accessible(page, 'question')
	await page.locator('dialog').getByRole('button', { name: 'Send again' }).click()
	await page.getByText('sent again').first().waitFor()
	assert.equal((await ask('GET', `/v1/errors/${id}`)).value.status, 2)
	assert.notEqual((await refused(text + ' ')).id, id)
})

test('an application event is corrected and retracted', async (t) => {
	const as = { headers: { 'X-Account-ID': 'demo' } }
	const session = (await ask('POST', '/sessions/', as)).value.id
	const body = { session: { id: session }, category: 'page interaction', name: 'pageview', data: { path: '/' }, timestamp: '2026-01-13T10:00:00Z' }
	const { id } = (await ask('POST', '/events/', { ...as, body })).value
	await until('the event', async () => (await ask('GET', `/events/${id}/`)).ok)
	const page = await signIn(t, { at: `#/events?session=${session}` })
	await page.getByRole('link', { name: '2026-01-13 10:00:00' }).click()
	await page.getByLabel('Data').fill('{"path": ')
	await page.getByRole('button', { name: 'Correct' }).click()
	await page.getByText('Data is no JSON').waitFor()
	await page.getByLabel('Data').fill('{"path": "/lamps"}')
	await page.getByRole('button', { name: 'Correct' }).click()
	await page.getByText('corrected, 1').waitFor()
	assert.deepEqual((await ask('GET', `/events/${id}/`)).value.data, { path: '/lamps' })
	await whole(page, 'one event')
	await accessible(page, 'one event')
	await page.getByRole('button', { name: 'Retract' }).click()
	await page.locator('dialog').getByRole('button', { name: 'Retract' }).click()
	await until('the retraction', async () => (await ask('GET', `/events/${id}/`)).status === 404)
})

test('a mail is shown with its attempts', async (t) => {
	const body = { to: 'ann@example.net', to_name: 'Ann <b>', from: 'shop@example.com', from_name: 'Shop', subject: 'Your <i>lamp</i>', body: '<p>It is on its way.</p>' }
	const sent = await ask('POST', '/email', { body, headers: { 'X-Account-ID': 'demo' } })
	assert.ok(sent.ok, JSON.stringify(sent.value))
	const page = await signIn(t, { at: '#/mail/sent?to=ann@example.net' })
	await page.getByText('Your <i>lamp</i>').first().waitFor()
	await page.getByLabel('Account').fill('demo')
	await page.getByRole('button', { name: 'Show', exact: true }).first().click()
	await page.getByText('Showing account demo').waitFor()
	await open(page, '#/mail')
	await page.locator('td', { hasText: 'news.example.com' }).waitFor()
	await open(page, `#/mail/sent/${sent.value.id}`)
	await page.getByRole('heading', { name: 'Your <i>lamp</i>' }).waitFor()
	assert.equal(await page.locator('tbody tr').count(), 1)
	await whole(page, 'one mail')
	await accessible(page, 'one mail')
})

test('what needs attention is on the first page, and leads to where it is settled', async (t) => {
	const { id } = await refused(`{"attention":${Date.now()}`)
	const page = await signIn(t)
	const { value: [provider] } = await ask('GET', '/providers')
	const held = { ...provider, breaker: 'open', consecutive_failures: 5, held_until: '2026-01-15T10:00:00Z', hold_reason: 'refused its key', last_error: '401 Unauthorized' }
	await page.route('**/providers', (r) => r.fulfill({ json: [held] }))
	await open(page, '#/usage')
	await open(page, '#/overview')
	const attention = page.getByRole('listitem')
	await attention.filter({ hasText: `Mail provider ${provider.name}: refused its key` }).waitFor()
	await whole(page, 'overview with faults')
	await accessible(page, 'overview with faults')
	await attention.filter({ hasText: 'could not be processed' }).getByRole('link').click()
	await page.locator(`a[href="#/errors/internal/${id}"]`).waitFor()
	await open(page, '#/mail/providers')
	const shown = await page.locator('main tbody tr', { hasText: provider.name }).textContent()
	for (const word of ['breaker open', '5', 'until 2026-01-15 10:00:00: refused its key', '401 Unauthorized']) assert.ok(shown.includes(word), shown)
	await whole(page, 'a provider that is held')
	await accessible(page, 'a provider that is held')
})

test('a key that is revoked ends the session', async (t) => {
	const made = (await ask('POST', '/v1/keys', { body: { role: 'account', account: 'demo', name: 'browser' } })).value
	const page = await signIn(t, { as: made.key })
	await settled(page)
	assert.ok((await ask('DELETE', `/v1/keys/${made.id}`)).ok)
	await until('the refusal', async () => (await ask('GET', '/v1/whoami', { as: made.key })).status === 401)
	await page.getByRole('link', { name: 'Usage', exact: true }).click()
	await page.getByText('The key is no longer good').waitFor()
})

test('an account key sees its own account', async (t) => {
	const made = (await ask('POST', '/v1/keys', { body: { role: 'account', account: 'elsewhere', name: 'browser' } })).value
	const { id } = await refused(`{"of":"demo","n":${Date.now()}`)
	const page = await signIn(t, { as: made.key })
	assert.deepEqual(await page.locator('nav[aria-label="Pages"] a').allInnerTexts(), (await page.locator('nav[aria-label="Pages"] a').allInnerTexts()).filter((n) => !['Customers', 'Pipeline'].includes(n)))
	for (const [at, shown] of [[`#/errors/internal/${id}`, 'there is no internal error'], ['#/usage?group=subject&from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z', 'No events in this time'],
		['#/errors?from=2026-01-12T00:00:00Z&to=2026-01-15T00:00:00Z', 'No API reported an error'], ['#/events/newest', 'No events match'], ['#/mail/providers', 'only administrators'],
		['#/customers', 'There is no such page'], ['#/pipeline', 'There is no such page']]) {
		await open(page, at)
		await page.getByText(shown).first().waitFor()
	}
	const other = await page.evaluate(async () => (await fetch('/v1/usage?intervalType=d&fromDate=2026-01-12:00:00:00', { headers: { 'X-Account-ID': 'demo' } })).status)
	assert.equal(other, 403)
})

test('pages of other sites are refused', async (t) => {
	const page = await signIn(t)
	const cookies = await page.context().cookies()
	assert.deepEqual(cookies.map((c) => [c.httpOnly, c.sameSite]), [[true, 'Strict']])
	const cookie = `${cookies[0].name}=${cookies[0].value}`
	for (const headers of [{ Origin: 'https://elsewhere.example' }, { 'Sec-Fetch-Site': 'cross-site' }]) {
		const answer = await raw('POST', '/v1/keys', { ...headers, Cookie: cookie })
		assert.match(answer, /^HTTP\/1.1 403 /, JSON.stringify(headers))
	}
	const policy = (await fetch(base + '/')).headers.get('Content-Security-Policy')
	assert.match(policy, /default-src 'none'/)
	assert.doesNotMatch(policy, /unsafe/)
})

// raw sends headers that fetch keeps to itself; the answer's head.
function raw(method, path, headers) {
	const { hostname, port } = new URL(base)
	return new Promise((resolve, reject) => {
		const socket = new Socket().on('error', reject).on('data', (d) => { resolve(String(d)); socket.destroy() })
		const lines = Object.entries({ Host: `${hostname}:${port}`, 'Content-Length': 0, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`).join('')
		socket.connect(Number(port), hostname, () => socket.write(`${method} ${path} HTTP/1.1\r\n${lines}\r\n`))
	})
}

test('by keyboard alone', async (t) => {
	const page = await signIn(t)
	await settled(page)
	await page.evaluate(() => document.body.focus())
	const pressed = []
	for (let i = 0; i < 6; i++) {
		await page.keyboard.press('Tab')
		pressed.push(await page.evaluate(() => document.activeElement.textContent))
	}
	assert.deepEqual(pressed.slice(0, 4), ['To the content', 'Tallybook', 'Overview', 'Usage'])
	await page.keyboard.press('Shift+Tab')
	await page.keyboard.press('Shift+Tab')
	await page.keyboard.press('Enter')
	await page.getByRole('heading', { name: 'Usage', exact: true }).waitFor()
	assert.equal(await page.evaluate(() => document.activeElement.id), 'main')
})
