//! Who calls. It is recorded, and never trusted.

/// Bytes of it at most, as the bridge takes it.
const WHO_MAX: usize = 128;
/// Where the kernel has the name of this machine.
const HOST: &str = "/proc/sys/kernel/hostname";

/// `user@host`; behind sudo, `user(sudo)@host` with the user who called it.
pub(super) fn caller() -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = match variable("SUDO_USER") {
        Some(user) => format!("{user}(sudo)"),
        None => variable("USER")
            .or_else(|| variable("LOGNAME"))
            .unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw())),
    };
    let host = std::fs::read_to_string(HOST).unwrap_or_default();
    plain(&format!("{user}@{}", host.trim()))
}

/// Only what stands well in a record and in a line.
pub(super) fn plain(text: &str) -> String {
    let plain = |char: &char| char.is_ascii_alphanumeric() || "._-@()".contains(*char);
    text.chars().filter(plain).take(WHO_MAX).collect()
}
