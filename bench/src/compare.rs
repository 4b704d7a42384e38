//! The comparison of relays under the same load (`make bench-media`).
//!
//! | module | subject |
//! |---|---|
//! | [`network`] | two network namespaces and a veth pair between them |
//! | [`peer`] | the relays, started and given calls |
//! | [`measure`] | rounds of runs, interleaved |
//! | [`capacity`] | how many calls a relay carries |
//! | [`figures`] | medians and ratios |
//! | [`results`] | the table, as Markdown |
//! | [`picture`] | the bars, as SVG |

pub mod capacity;
pub mod figures;
pub mod measure;
pub mod network;
pub mod peer;
pub mod picture;
pub mod results;
