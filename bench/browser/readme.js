// The pictures of the README: 'run.sh readme.js' makes them anew in docs/.
import { test } from 'node:test'
import { signIn } from './lib.js'

const docs = new URL('../../docs/', import.meta.url).pathname

for (const [dark, name] of [[false, 'dashboard.png'], [true, 'dashboard-dark.png']]) {
	test(name, async (t) => {
		const page = await signIn(t, { dark, height: 800, at: '#/overview' })
		await page.screenshot({ path: docs + name })
	})
}
