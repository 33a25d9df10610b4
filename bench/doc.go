// Package bench measures the whole way of an event, everything durable and the
// broker on the same cores, and prints events per second, CPU per event, bytes
// per event and resident memory. Nothing here is asserted: a figure is what a
// run printed.
package bench
