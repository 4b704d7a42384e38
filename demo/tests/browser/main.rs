//! The call from within the page: headless Chromium, the page's script, the gateway's browser leg, and a
//! telephone of the simulated exchange. `make test-browser` runs it.

#[path = "../system/common/mod.rs"]
#[allow(dead_code, reason = "the system tests use the rest of it")]
mod common;
mod ends;
mod page;
mod strangers;
mod talk;
