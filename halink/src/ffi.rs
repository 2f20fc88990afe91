//! The only code that talks to C: calls of `csrc/bridge.h`, and its callbacks.
//!
//! Nothing of C leaves this module. `calls` is what threads of ours ask of the library, `callbacks`
//! what threads of the library report.
#![allow(unsafe_code)]

mod callbacks;
mod calls;
mod message;

use std::ffi::{CStr, c_char};

use motr_sys as sys;

pub(crate) use callbacks::Context;
pub(crate) use calls::{Adopted, Bridge, Remote};

/// Name of the backend that is linked: `libmotr` or `embedded`.
#[must_use]
pub fn backend() -> String {
    // SAFETY: the function takes nothing and returns a static string or null.
    unsafe { text(sys::hax_bridge_backend()) }
}

/// Version of that backend; for people.
#[must_use]
pub fn version() -> String {
    // SAFETY: as above.
    unsafe { text(sys::hax_bridge_version()) }
}

/// An owned copy of a string of C, with U+FFFD for what is not UTF-8; empty for null.
///
/// # Safety
///
/// `text` is null or a string.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: not null, so a string, which the caller vouches for.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
