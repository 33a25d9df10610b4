// Every address of the dashboard that is looked at: name, address, who sees it.
export const pages = [
	{ name: 'overview', at: '#/overview' },
	{ name: 'usage', at: '#/usage' },
	{ name: 'usage-empty', at: '#/usage?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z' },
	{ name: 'usage-refused', at: '#/usage?from=yesterday&to=today' },
	{ name: 'errors', at: '#/errors' },
	{ name: 'errors-internal', at: '#/errors/internal' },
	{ name: 'errors-missing', at: '#/errors/internal/nothing' },
]
