//! The only code that talks to C: calls of `csrc/bridge.h`, and its callbacks.
//!
//! Nothing of C leaves this module. `calls` is what threads of ours ask of the library, `callbacks`
//! what threads of the library report.
#![allow(unsafe_code)]

mod callbacks;
mod calls;
mod context;
mod message;

use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use motr_sys as sys;

pub(crate) use calls::{Adopted, Bridge, Remote};
pub(crate) use context::Context;

use crate::error::{Errno, Error};

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

/// Tells the library which directory, one that exists, its trace files go to: one of 16 MiB for each
/// run. It does so by the environment, and therefore wants to be called before there are threads.
///
/// # Errors
///
/// [`Error::Threads`] if this process has more than one thread, or it cannot be known;
/// [`Error::Prepare`].
pub fn prepare(trace_dir: &Path) -> Result<(), Error> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if threads != 1 {
        return Err(Error::Threads);
    }
    let dir = CString::new(trace_dir.as_os_str().as_bytes())
        .map_err(|_| Error::Nul("directory of traces"))?;
    // SAFETY: `dir` is a string, which is copied, and no other thread reads the environment: there is
    // none.
    Errno::check(unsafe { sys::hax_bridge_prepare(dir.as_ptr()) }).map_err(Error::Prepare)
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
