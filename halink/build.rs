//! Gives our own programs the run-time path of libmotr, if that is the backend, and tells it to the
//! packages that link us.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if let Ok(dir) = std::env::var("DEP_HAX_MOTR_BRIDGE_RPATH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{dir}");
        println!("cargo::metadata=rpath={dir}");
    }
}
