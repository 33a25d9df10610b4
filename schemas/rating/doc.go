// Package rating turns usage into money: the pricing models of usage-v1.md as
// rules on values, without I/O. The same code rates invoices, estimates and the
// lines of `tallybook rate`, and checks prices where they are stored.
//
// A price is a model and its params, a JSON object. Amounts and quantities are
// decimals of 0 or more, as texts or numbers, of up to 21 digits before and 18
// behind the point; nothing is ever a float, and nothing is rounded but the
// result. Params that a model does not have are refused, so that a misspelt
// maximum is not money lost; note is there for remarks.
//
//	model                 params; [optional]
//	flat                  amount, whatever the usage
//	per_unit              unit_price [free_units]
//	graduated             tiers of up_to, unit_price, flat_fee [free_units, flat_fee_at_zero]:
//	                      each unit costs what its own tier says
//	volume                the same params: all units cost what the tier of the last one says
//	package               package_size, package_price [free_units, rounding "up" or "down"]
//	percentage            rate_percent of the total [free_amount; fixed_per_event,
//	                      event_count where the usage does not say it, free_event_count]
//	percentage_per_event  rate_percent of each event [fixed_per_event, min_per_event,
//	                      max_per_event, free_amount, free_event_count]
//	graduated_percentage  tiers of up_to, rate_percent, flat_fee [flat_fee_at_zero]
//
// Edges are inclusive: up_to is the last unit of its tier, and 5.001 of up_to 5
// has entered the next. The last tier is open (up_to null). free_units come off
// before anything else. A tier's flat fee is billed once, when the tier is
// reached. percentage takes no fees of events from a total of 0.
//
// Of percentage_per_event, free events and free amount end together when either
// is used up; the event in which the amount ends pays for the rest of its value,
// and its fee.
//
// For all models: [discount_percent, maximum_amount, minimum_amount,
// currency_precision], in this order: the discount, the cap, the minimum, the
// rounding, half away from zero and once. Where systems disagree there is a
// param, the default first:
//
//	flat_fee_at_zero  true: the first tier's fee is billed without usage | false
//	round             "per line", then the sum | "sum": the lines are summed, then rounded (Total)
//	discount_order    "before cap": the cap is what is paid at most | "after cap": the capped amount is discounted
//	proration         "days" of the period in the customer's zone, half-open | "seconds" | "none"
//
// Prorated are the amount of flat and minimum_amount: what is owed without usage.
// Fees of tiers are owed for reaching them, a maximum is a promise: both stay.
//
// A Tally collects usage: a total, or events in their order. Rated after each,
// the differences are what each event costs at its place, and add up to the
// whole, also where a minimum, a cap or a tier's edge was met on the way.
//
// Where a price looks at each event alone (PerEvent) the share of an event is
// known when it happens, whatever came before it and comes after: OfEvent.
//
// A Line explains itself: its Parts add up to its amount to the last digit.
package rating
