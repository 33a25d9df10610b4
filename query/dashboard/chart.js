// Lines and bars over time, by uPlot. Each has a table beside it for who cannot see it.
/* global uPlot */
import { h, compact, wall } from './dom.js'

const colours = 8

// tick is a mark of the axis, which may stand at 0.25 or at 1.25 million.
const tick = new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 })

export const colour = (n) => getComputedStyle(document.documentElement).getPropertyValue(`--series-${(n % colours) + 1}`).trim()

// chart draws series over times (ms): [{label, values, colour}]. It follows the
// width of its place, and the colours of light and dark.
export function chart(title, times, series, { format = compact, bars = false, height = 220, zone = 'UTC' } = {}) {
	const place = h('div', { class: 'chart', role: 'img', 'aria-label': describe(title, series, format) })
	const step = times.length > 1 ? (times[1] - times[0]) / 1000 : 3600
	const draw = () => {
		const style = getComputedStyle(document.documentElement)
		const ink = style.getPropertyValue('--muted').trim(), grid = style.getPropertyValue('--line').trim()
		const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid }, font: '12px system-ui, sans-serif' }
		place.replaceChildren()
		return new uPlot({
			width: Math.max(place.clientWidth, 200), height, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), zone),
			legend: { show: series.length > 1, live: true }, cursor: { drag: { x: false, y: false } },
			scales: { x: { range: (u, min, max) => (bars ? [min - step / 2, max + step / 2] : [min, max]) }, y: { range: (u, min, max) => [Math.min(0, min), max > 0 ? max * 1.08 : 1] } },
			axes: [{ ...axis, values: clock, incrs: marks.filter((m) => m >= step) }, { ...axis, size: 56, values: (u, ticks) => ticks.map((n) => tick.format(n)) }],
			series: [{ label: zone, value: (u, v) => (v == null ? '' : wall(v * 1000, zone).slice(0, 16)) }, ...series.map((s, i) => ({
				label: s.label, stroke: s.colour ?? colour(i), width: 2, fill: bars ? (s.colour ?? colour(i)) + '99' : undefined,
				points: { show: times.length < 3 }, value: (u, v) => (v == null ? '' : format(v)),
				paths: bars ? uPlot.paths.bars({ size: [0.8, 40] }) : undefined,
			}))],
		}, [times.map((t) => t / 1000), ...series.map((s) => s.values)], place)
	}
	let plot
	const again = () => { if (place.isConnected) plot = draw() }
	new ResizeObserver(() => {
		if (!place.clientWidth) return
		if (plot) plot.setSize({ width: place.clientWidth, height })
		else again()
	}).observe(place)
	matchMedia('(prefers-color-scheme: dark)').addEventListener('change', again)
	return place
}

// marks are how far apart those of the time axis may be (s), never less than a window.
const marks = [1, 5, 15, 30, 60, 300, 900, 1800, ...[1, 2, 3, 4, 6, 8, 12, 24, 48, 72, 168, 336].map((n) => n * 3600), ...[30, 60, 90, 180, 365, 730, 1825, 3650].map((n) => n * 86400)]

// clock are the marks of the time axis, in 24 hours as every time here is.
const clock = [
	[31536000, '{YYYY}', null, null, null, null, null, null, 1],
	[2419200, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
	[86400, '{MMM} {D}', '\n{YYYY}', null, null, null, null, null, 1],
	[60, '{HH}:{mm}', '\n{MMM} {D}', null, '\n{MMM} {D}', null, null, null, 1],
	[1, ':{ss}', '\n{HH}:{mm}', null, '\n{MMM} {D}', null, '\n{HH}:{mm}', null, 1],
]

function describe(title, series, format) {
	const parts = series.slice(0, 6).map((s) => {
		const numbers = s.values.filter((v) => v != null)
		return numbers.length ? `${s.label} from ${format(Math.min(...numbers))} to ${format(Math.max(...numbers))}` : `${s.label} empty`
	})
	return `${title}: ${parts.join('; ')}`
}
