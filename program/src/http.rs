//! Connections over HTTP and HTTPS for an axum router, each bounded in what it may hold.

mod connections;
mod tls;

pub use connections::serve;
pub use tls::Tls;
