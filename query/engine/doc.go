// Package engine answers questions about what was metered: any window, exact.
//
//	e := engine.New(engine.Config{Store: st, Archive: ar})
//	a, err := e.Ask(ctx, &engine.Question{
//		Family: schemas.FamilyRequest, Need: engine.Quantity | engine.Amount,
//		From: from, To: to, Accounts: caller.Accounts(),
//		Filters: map[string][]string{"status": {"200", "204"}},
//		GroupBy: []string{"endpoint", "client_ip"},
//		Window:  engine.Window{Size: engine.Day, Zone: berlin},
//	})
//	a.SetHeaders(w.Header())
//	for _, g := range a.Groups[0] { … g.Start, g.End, g.Names, g.Quantity … }
//
// Several questions in one Ask are answered from one state of the data.
//
// # Where an answer comes from
//
// Whole hours within a window are read from rollups: months and days where they
// are built, hours else. The rest is read from the archive: edges within an
// hour, zones whose windows do not begin where hours do, MINUTE windows, names
// that rollups do not have, distinct and latest values, quantiles. Groups
// without events are left out, also those whose events corrections took away.
//
// Rollups, positions and the list of archive files are read in one short View;
// a file is in the list exactly if its rows are in the rollups and below the
// positions, so that both halves speak of one state. The archive is read when
// the View is closed. A file that is gone by then (compaction) means asking
// again, a few times.
//
// Archive rows carry a sign. Sums are sign × value. For extremes and latest
// values each −1 row takes one +1 row of the same group, time and value away;
// distinct values and quantiles count events by value, and those that are left
// above zero are there.
//
// # Limits
//
// Groups of an answer, archive rows to read, different values to keep, and
// scans at a time are bounded by Config; what is beyond is an *api.Failure with
// status 422 that says what to ask for instead. The context's deadline holds.
package engine
