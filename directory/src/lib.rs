//! The gateway address server: which gateway serves a number, answered as ENUM.
