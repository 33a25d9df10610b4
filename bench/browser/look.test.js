// Every page, light and dark, wide and on a phone: nothing is cut, axe finds
// nothing serious, and PICTURES=folder keeps what it looks like.
import { test } from 'node:test'
import { looked, looks, open, signIn } from './lib.js'
import { pages } from './pages.js'

const only = process.env.ONLY ? new RegExp(process.env.ONLY) : /./

for (const how of looks) {
	test(how.look, async (t) => {
		const page = await signIn(t, how)
		for (const { name, at } of pages.filter((p) => only.test(p.name))) {
			await open(page, at)
			await looked(page, name, how)
		}
	})
}
