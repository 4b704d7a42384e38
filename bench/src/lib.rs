//! The simulated telephone exchange, load tools and benchmarks.
