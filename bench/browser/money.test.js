// Customers, keys, invoices and the pipeline, as administrators and as accounts.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { accessible, ask, base, open, signIn, until, whole } from './lib.js'
import { money, shop } from './money.js'

const row = (page, text) => page.locator('main tbody tr', { hasText: text })

test('an invoice is opened down to a file, and proven', async (t) => {
	const { invoice } = await money()
	const page = await signIn(t, { at: '#/invoices' })
	await row(page, invoice.number).getByRole('link').click()
	await page.getByRole('heading', { name: `2.98 EUR for ${shop.name}` }).waitFor() // 4 × 0.50 + 2 × 0.25, and 19 %
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
	for (const phone of [false, true]) {
		for (const dark of [false, true]) {
			const look = `${phone ? 'phone' : 'wide'}-${dark ? 'dark' : 'light'}`
			const page = await signIn(t, { phone, dark })
			for (const [name, at] of [['customer', `#/customers/id/${customer.id}`], ['invoice', `#/invoices/${invoice.id}`], ['invoice-line', `#/invoices/${invoice.id}/1`], ['job', '#/pipeline/jobs/invoices']]) {
				await open(page, at)
				if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${name}-${look}.png`, fullPage: true })
				await whole(page, `${name} ${look}`)
				await accessible(page, `${name} ${look}`)
			}
		}
	}
})
