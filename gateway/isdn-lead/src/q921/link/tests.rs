//! The data link alone.
