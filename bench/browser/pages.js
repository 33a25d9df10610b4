// Every address of the dashboard that is looked at, beside what the tests open by
// themselves: pages with something to show, empty ones and refused ones.
export const pages = [
	{ name: 'overview', at: '#/overview' },
	{ name: 'usage', at: '#/usage' },
	{ name: 'usage-empty', at: '#/usage?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z' },
	{ name: 'usage-refused', at: '#/usage?from=yesterday&to=today' },
	{ name: 'events', at: '#/events' },
	{ name: 'events-sessions', at: '#/events/sessions' },
	{ name: 'events-failed', at: '#/events/failed' },
	{ name: 'events-newest', at: '#/events/newest' },
	{ name: 'errors', at: '#/errors' },
	{ name: 'errors-refused', at: '#/errors?from=yesterday&to=today' },
	{ name: 'errors-internal', at: '#/errors/internal' },
	{ name: 'errors-missing', at: '#/errors/internal/nothing' },
	{ name: 'mail', at: '#/mail' },
	{ name: 'mail-refused', at: '#/mail?from=yesterday&to=today' },
	{ name: 'mail-sent', at: '#/mail/sent' },
	{ name: 'mail-providers', at: '#/mail/providers' },
	{ name: 'mail-suppressions', at: '#/mail/suppressions?address=ann@example.net' },
]
