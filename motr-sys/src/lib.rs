//! Raw bindings to the flat C bridge between hax and Motr's HA interface.
//!
//! Everything here is generated from `csrc/bridge.h`, whose comments are the reference: threads,
//! lifetimes, errors and limits are stated there. Errors are negative errno values. C enums are
//! newtypes over integers, so a value this version does not know is carried, not undefined.
//!
//! Two backends implement the bridge: libmotr, and the embedded one for machines without it,
//! whose protocol is `rfc/6-wire.md`. [`hax_bridge_backend`] tells which is linked.
//!
//! Use the crate `halink` unless you need the raw calls.

#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    rustdoc::bare_urls,
    reason = "generated from csrc/bridge.h, where the documentation is"
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bridge.rs"));
}

pub use bindings::*;
