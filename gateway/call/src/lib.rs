//! Call control: joins legs, routes, hunts, maps causes and writes call records.
