// Customers, keys, invoices and the pipeline, as administrators and as accounts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, base, looked, looks, open, signIn, until } from './lib.js'
import { money, month, shop } from './money.js'

const row = (page, text) => page.locator('main tbody tr', { hasText: text })

test('an invoice is opened down to a file, and proven', async (t) => {
	const { invoice } = await money()
	const page = await signIn(t, { at: '#/invoices' })
	await row(page, invoice.number).getByRole('link').click()
	await page.getByRole('heading', { name: `2.98 EUR for ${shop.name}` }).waitFor() // 4 × 0.50 + 2 × 0.25, and 19 %
	await page.getByText(`${month}-01 00:00:00`).waitFor() // where the customer is
	await page.getByRole('link', { name: '1. browser-shop v1 every endpoint' }).click()
	await page.getByRole('heading', { name: 'Archive files' }).waitFor()
	const { value } = await ask('GET', `/v1/invoices/${invoice.id}/files?line=1`)
	assert.ok(value.files.length > 0)
	for (const f of value.files) await row(page, f.name).waitFor()
	assert.deepEqual(await page.locator('main table', { hasText: 'Steps' }).locator('tbody tr td:last-child').allTextContents(), ['2 EUR', '0.5 EUR'])

	await open(page, `#/invoices/${invoice.id}`)
	await page.getByRole('button', { name: 'Prove it' }).click()
	await page.locator('main .mark', { hasText: /^proven$/ }).waitFor()
	assert.match(await page.locator('.proof').textContent(), /total 2\.98 EUR: proven/)
	const saved = page.waitForEvent('download')
	await page.getByRole('button', { name: 'PDF' }).click()
	assert.equal((await saved).suggestedFilename(), `${invoice.number}.pdf`)
})

test('a payment is set', async (t) => {
	const { invoice } = await money()
	const page = await signIn(t, { at: `#/invoices/${invoice.id}` })
	await page.getByLabel('Payment').selectOption('paid')
	await page.getByRole('button', { name: 'Save' }).click()
	await page.locator('main .mark', { hasText: /^paid$/ }).waitFor()
	assert.equal((await ask('GET', `/v1/invoices/${invoice.id}`)).value.payment, 'paid')
})

// final is the invoice of a customer of the demo, for tests that use it up.
async function final(customer) {
	const { value } = await ask('GET', '/v1/invoices?status=final&month=2026-01')
	return value.invoices.find((i) => i.customer.name === customer)
}

test('an invoice is made void, when asked back', async (t) => {
	const invoice = await final('Cara')
	const page = await signIn(t, { at: `#/invoices/${invoice.id}` })
	await page.getByRole('button', { name: 'Void…' }).click()
	await page.getByRole('button', { name: 'Leave it' }).click()
	assert.equal((await ask('GET', `/v1/invoices/${invoice.id}`)).value.status, 'final')
	await page.getByRole('button', { name: 'Void…' }).click()
	await page.getByRole('button', { name: 'Void it' }).click()
	await page.locator('main .mark', { hasText: /^void$/ }).waitFor()
	assert.equal((await ask('GET', `/v1/invoices/${invoice.id}`)).value.status, 'void')
	assert.equal(await page.getByRole('button', { name: 'Credit…' }).count(), 0)
})

test('an invoice is credited, with a reason', async (t) => {
	const invoice = await final('Bolt Inc.')
	const page = await signIn(t, { at: `#/invoices/${invoice.number}` })
	await page.getByRole('button', { name: 'Credit…' }).click()
	await page.getByRole('button', { name: 'Credit it' }).click()
	assert.equal((await ask('GET', `/v1/invoices/${invoice.id}`)).value.status, 'final', 'a reason is asked for')
	await page.getByLabel('Reason').fill('billed twice')
	await page.keyboard.press('Enter')
	await page.getByRole('heading', { name: `-${invoice.total} USD for Bolt Inc.` }).waitFor()
	await page.getByText('billed twice').waitFor()
	assert.equal((await ask('GET', `/v1/invoices/${invoice.id}`)).value.status, 'credited')
	await open(page, '#/invoices')
	assert.match(await page.locator('main tbody tr').first().textContent(), /CN-000001/, 'newest first')
})

test('a proof that lasts is stopped', async (t) => {
	const { invoice } = await money()
	const page = await signIn(t, { at: `#/invoices/${invoice.id}` })
	await page.route('**/prove', () => {}) // no answer yet
	await page.getByRole('button', { name: 'Prove it' }).click()
	await page.getByText('Reading the archive').waitFor()
	assert.equal(await page.getByRole('button', { name: 'Prove it' }).isDisabled(), true)
	await page.getByRole('button', { name: 'Stop' }).click()
	await page.locator('section', { hasText: 'Proof' }).getByText('Stopped.').waitFor()
	await page.unroute('**/prove')
	await page.getByRole('button', { name: 'Prove it' }).click()
	await page.locator('main .mark', { hasText: /^proven$/ }).waitFor()
})

test('a list is paged', async (t) => {
	for (let n = 0; n < 51; n++) await ask('POST', '/v1/keys', { body: { role: 'ingest', account: 'paged', name: `paged ${n}` } })
	const page = await signIn(t, { at: '#/customers/keys' })
	const ids = () => page.locator('main tbody code').allTextContents()
	const first = await ids()
	assert.equal(first.length, 50)
	await page.getByRole('link', { name: 'Next page' }).click()
	await page.getByRole('link', { name: 'First page' }).waitFor()
	const second = await ids()
	assert.ok(second.length > 0 && second.every((id) => !first.includes(id)))
	await page.getByRole('link', { name: 'First page' }).click()
	await page.getByRole('link', { name: 'First page' }).waitFor({ state: 'detached' })
	assert.deepEqual(await ids(), first)
})

test('a customer of a long name, in yen and another zone, is found and whole', async (t) => {
	const name = 'Ltd'.repeat(80)
	const { value, status } = await ask('POST', '/v1/customers', { body: { customerName: name, account: 'kaisha', pricingModelName: 'standard', currency: 'JPY', timezone: 'Asia/Tokyo', minimum: '1200',
		email: `${'a'.repeat(60)}@${'b'.repeat(60)}.example`, subscriptions: [{ apiName: 'shop', apiVersion: 'v1' }] } })
	assert.equal(status, 201, JSON.stringify(value))
	for (const how of looks.filter((l) => l.phone !== l.dark)) {
		const page = await signIn(t, { ...how, at: '#/customers' })
		await page.getByLabel('Find').fill('KAISHA')
		await page.keyboard.press('Enter')
		await page.waitForFunction(() => document.querySelectorAll('main tbody tr').length === 1)
		await looked(page, 'customer-found', how)
		await page.getByRole('link', { name }).click()
		await page.getByText('1200 JPY').waitFor()
		await looked(page, 'customer-long', how)
		await open(page, '#/customers?search=nobody-at-all')
		await page.getByText('No customer is so.').waitFor()
	}
})

test('a customer shows its quota, price and subscription', async (t) => {
	const { customer } = await money()
	const page = await signIn(t, { at: '#/customers' })
	await row(page, shop.name).getByRole('link').click()
	await row(page, 'browser-shop').first().waitFor()
	const { value } = await ask('GET', `/v1/customers/${customer.id}/quotas`)
	assert.deepEqual([value.quotas[0].used, value.quotas[0].percent], [1, 12])
	assert.match(await row(page, '12 %').textContent(), /1 of 8/)
	assert.match(await page.getByRole('region', { name: 'Prices of its subscriptions' }).textContent(), /graduated.*0\.50/)
})

test('a key is made and revoked, and refused from then on', async (t) => {
	const page = await signIn(t, { at: '#/customers/keys' })
	await page.getByLabel('Account', { exact: false }).last().fill('browser')
	await page.getByLabel('Name').fill('made in a browser')
	await page.getByRole('button', { name: 'Make it' }).click()
	const made = await page.locator('#made').textContent()
	assert.equal((await ask('GET', '/v1/whoami', { as: made })).value.account, 'browser')
	const session = await signIn(t, { as: made })
	await page.getByRole('button', { name: 'I have it' }).click()
	await page.getByRole('button', { name: 'Revoke the key made in a browser' }).click()
	await page.getByRole('button', { name: 'Leave it' }).click()
	assert.equal((await ask('GET', '/v1/whoami', { as: made })).status, 200)
	await page.getByRole('button', { name: 'Revoke the key made in a browser' }).click()
	await page.getByRole('button', { name: 'Revoke it' }).click()
	await row(page, 'made in a browser').getByText('revoked').waitFor()
	await until('the key is refused', async () => (await ask('GET', '/v1/whoami', { as: made })).status === 401)
	await session.evaluate(() => { location.hash = '#/invoices' })
	await session.getByText('The key is no longer good').waitFor()
	await open(page, '#/customers/audit')
	await row(page, 'revoke key').first().waitFor()
})

test('an account sees its own invoices and nothing of others', async (t) => {
	const { customer, invoice } = await money()
	const key = async (account) => (await ask('POST', '/v1/keys', { body: { role: 'account', account, name: `of ${account}` } })).value.key
	const own = await signIn(t, { as: await key('browser'), at: '#/invoices' })
	await row(own, invoice.number).waitFor()
	await open(own, `#/invoices/${invoice.id}`)
	assert.equal(await own.getByRole('button', { name: 'Prove it' }).count(), 0)
	const other = await signIn(t, { as: await key('another') })
	assert.deepEqual(await other.locator('nav[aria-label="Pages"] a', { hasText: /Customers|Pipeline/ }).count(), 0)
	for (const at of ['#/invoices', `#/invoices/${invoice.id}`, `#/invoices/${invoice.number}`, `#/invoices/${invoice.id}/1`, '#/customers', `#/customers/id/${customer.id}`,
		'#/customers/keys', '#/customers/audit', '#/customers/prices', '#/pipeline', '#/pipeline/jobs', '#/overview', '#/usage?groupBy=subject']) {
		await open(other, at)
		const text = await other.locator('main').textContent()
		assert.ok(!text.includes(invoice.number) || at.includes(invoice.number) && text.includes('there is no invoice'), `${at} shows ${text}`)
		assert.ok(!text.includes(shop.name) && !text.includes('browser-shop'), `${at} shows ${text}`)
	}
	// By the same session, asked from its page.
	for (const path of [`/v1/invoices/${invoice.id}`, `/v1/invoices/${invoice.id}/files`, `/v1/invoices/${invoice.id}/download`, `/v1/customers/${customer.id}`, `/v1/customers/${customer.id}/quotas`, '/v1/pipeline', '/v1/jobs', '/v1/keys']) {
		const status = await other.evaluate((p) => fetch(p).then((r) => r.status), path)
		assert.ok(status === 403 || status === 404, `${path}: ${status}`)
		const named = await other.evaluate((p) => fetch(p, { headers: { 'X-Account-ID': 'browser' } }).then((r) => r.status), path)
		assert.equal(named, 403, `${path} as browser`)
	}
})

test('the pipeline shows what the API says, and runs a job', async (t) => {
	const page = await signIn(t, { at: '#/pipeline' })
	const { value } = await ask('GET', '/v1/pipeline')
	assert.equal(await page.locator('main tbody tr').count(), value.partitions.length)
	await open(page, '#/pipeline/hours')
	assert.equal(await page.getByText('does not add up').count(), 0)
	assert.ok(await page.getByText('adds up').count() > 0)
	await open(page, '#/pipeline/jobs/reconcile')
	const runs = async () => (await ask('GET', '/v1/jobs')).value.jobs.find((j) => j.name === 'reconcile').runs
	const before = (await runs()).length
	await page.getByRole('button', { name: 'Run reconcile now' }).click()
	await page.getByText('reconcile has run.').waitFor()
	const after = await runs()
	assert.deepEqual([after.length, after[0].outcome], [before + 1, 'ok'])
	await row(page, 'good').first().waitFor()
})

test('a page of another site is refused with the session’s cookie', async (t) => {
	const page = await signIn(t)
	const [cookie] = await page.context().cookies()
	assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict'])
	const elsewhere = { Cookie: `${cookie.name}=${cookie.value}`, Origin: 'https://elsewhere.example', 'Sec-Fetch-Site': 'cross-site' }
	assert.equal((await page.context().request.post(base + '/v1/jobs/rollups/run', { headers: elsewhere })).status(), 403)
	// A form of another page, in the browser that is signed in: it sends no cookie.
	const other = await page.context().newPage()
	await other.setContent(`<form method="post" action="${base}/v1/jobs/rollups/run"><button>Send</button></form>`)
	const answered = other.waitForResponse('**/v1/jobs/rollups/run')
	await other.getByRole('button').click()
	assert.ok([401, 403].includes((await answered).status()))
})

test('pages of one thing are whole and accessible', async (t) => {
	const { customer, invoice } = await money()
	for (const how of looks) {
		const page = await signIn(t, how)
		for (const [name, at] of [['customer', `#/customers/id/${customer.id}`], ['invoice', `#/invoices/${invoice.id}`], ['invoice-line', `#/invoices/${invoice.id}/1`], ['job', '#/pipeline/jobs/invoices']]) {
			await open(page, at)
			await looked(page, name, how)
		}
	}
})
