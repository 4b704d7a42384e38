//! The whole system on one machine: starts it, prints the ladder of each call, compares what was said and heard.
