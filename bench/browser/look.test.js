// Every page, light and dark, wide and on a phone: nothing is cut, axe finds
// nothing serious, and PICTURES=folder keeps what it looks like.
import { mkdir } from 'node:fs/promises'
import { test } from 'node:test'
import { accessible, open, signIn, whole } from './lib.js'
import { pages } from './pages.js'

const folder = process.env.PICTURES
const only = process.env.ONLY ? new RegExp(process.env.ONLY) : /./
if (folder) await mkdir(folder, { recursive: true })

for (const phone of [false, true]) {
	for (const dark of [false, true]) {
		const look = `${phone ? 'phone' : 'wide'}-${dark ? 'dark' : 'light'}`
		test(look, async (t) => {
			const page = await signIn(t, { phone, dark })
			for (const { name, at } of pages.filter((p) => only.test(p.name))) {
				await open(page, at)
				if (folder) await page.screenshot({ path: `${folder}/${name}-${look}.png`, fullPage: true })
				await whole(page, `${name} ${look}`)
				await accessible(page, `${name} ${look}`)
			}
		})
	}
}
