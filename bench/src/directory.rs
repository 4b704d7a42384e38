//! The directory beside general name servers, on the same numbers.

pub mod numbers;
pub mod results;
pub mod server;
