//! Compiles the C side with one backend and generates the bindings to
//! `csrc/bridge.h`, the only header that bindgen sees.
//!
//! The backend is `embedded`, unless the feature `libmotr` or `MOTR_SYS_BACKEND=libmotr` asks for
//! an installed Motr, which `MOTR_PREFIX` names or else pkg-config finds.

#[path = "build/libmotr.rs"]
mod libmotr;

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Chooses the backend: `embedded` or `libmotr`.
const CHOICE: &str = "MOTR_SYS_BACKEND";

/// Sources in `csrc` that every backend has.
const COMMON: [&str; 10] = [
    "args",
    "bridge",
    "bridge_calls",
    "bridge_events",
    "broadcast",
    "map",
    "msg",
    "prepare",
    "registry",
    "registry_links",
];

/// Where `m0_halon_interface` comes from.
struct Backend {
    /// What `hax_bridge_backend()` says.
    name: &'static str,
    /// What `hax_bridge_version()` says.
    version: String,
    /// Directories of headers in which `bridge.c` finds Motr's include names.
    includes: Vec<PathBuf>,
    /// Sources of the backend itself, in addition to [`COMMON`].
    sources: Vec<PathBuf>,
    /// Flags of the compiler.
    flags: Vec<OsString>,
    /// Library to link and where it is.
    library: Option<(&'static str, PathBuf)>,
}

/// The backend that was asked for.
fn chosen() -> Result<Backend, Box<dyn Error>> {
    let feature = env::var_os("CARGO_FEATURE_LIBMOTR").is_some();
    let choice = env::var(CHOICE).unwrap_or_default();
    match (choice.as_str(), feature) {
        ("libmotr", _) | ("", true) => libmotr(),
        ("embedded" | "", false) => embedded(),
        ("embedded", true) => {
            Err(format!("{CHOICE}=embedded, but the feature `libmotr` is on").into())
        }
        _ => Err(format!("{CHOICE}={choice}: it must be `embedded` or `libmotr`").into()),
    }
}

/// An installed Motr.
fn libmotr() -> Result<Backend, Box<dyn Error>> {
    let motr = libmotr::find(|name| env::var_os(name))?;
    // What Motr's headers want of those who include them.
    let mut flags: Vec<OsString> = [
        "-D_REENTRANT",
        "-DM0_INTERNAL=",
        "-DM0_EXTERN=extern",
        "-fno-strict-aliasing",
        // Motr's attributes and macros are not ours to judge, but its types in our code are.
        "-Wno-attributes",
        "-include",
        "config.h",
        "-isystem",
    ]
    .map(OsString::from)
    .into();
    flags.push(motr.include.into());
    Ok(Backend {
        name: "libmotr",
        version: motr.version,
        includes: Vec::new(),
        sources: vec!["csrc/libmotr.c".into(), "csrc/libmotr_flow.c".into()],
        flags,
        library: Some(("motr", motr.lib)),
    })
}

/// Our own implementation, linked where libmotr is not.
fn embedded() -> Result<Backend, Box<dyn Error>> {
    let dir = Path::new("embedded");
    let mut sources = Vec::new();
    for entry in dir.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "c") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(Backend {
        name: "embedded",
        version: env::var("CARGO_PKG_VERSION")?,
        includes: vec![dir.join("include"), dir.to_path_buf()],
        sources,
        flags: Vec::new(),
        library: None,
    })
}

fn compile(backend: &Backend) -> Result<(), Box<dyn Error>> {
    let mut build = cc::Build::new();
    for flag in &backend.flags {
        build.flag(flag);
    }
    build
        .std("gnu11")
        .define("_GNU_SOURCE", None)
        .define("HAX_BACKEND", format!("\"{}\"", backend.name).as_str())
        .define(
            "HAX_BACKEND_VERSION",
            format!("\"{}\"", backend.version).as_str(),
        )
        .flag("-pthread")
        .warnings(true)
        .extra_warnings(true)
        .include("csrc")
        .includes(&backend.includes)
        .files(COMMON.map(|name| format!("csrc/{name}.c")))
        .files(&backend.sources)
        .try_compile("hax_motr_bridge")?;
    println!("cargo::metadata=backend={}", backend.name);
    println!("cargo::metadata=version={}", backend.version);
    if let Some((name, dir)) = &backend.library {
        println!("cargo::rustc-link-search=native={}", dir.display());
        println!("cargo::rustc-link-lib=dylib={name}");
        // Those who link a program give it this run-time path: it does not pass through crates.
        println!("cargo::metadata=rpath={}", dir.display());
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", dir.display());
    }
    Ok(())
}

fn bind(out: &Path) -> Result<(), Box<dyn Error>> {
    // bindgen loads libclang at run time, and panics in its own words without it.
    let bindings = std::panic::catch_unwind(|| {
        bindgen::Builder::default()
            .header("csrc/bridge.h")
            .allowlist_item("hax_.*|HAX_.*")
            .default_enum_style(bindgen::EnumVariation::NewType {
                is_bitfield: false,
                is_global: false,
            })
            .derive_default(true)
            .derive_copy(true)
            .generate_comments(true)
            .generate()
    })
    .map_err(|_| {
        "bindgen did not run: libclang is probably missing. Install libclang-dev (scripts/test \
         does), or set LIBCLANG_PATH to the directory of libclang.so"
    })??;
    bindings.write_to_file(out.join("bridge.rs"))?;
    Ok(())
}

fn run() -> Result<(), Box<dyn Error>> {
    for path in ["csrc", "embedded", "build"] {
        println!("cargo::rerun-if-changed={path}");
    }
    for name in [
        CHOICE,
        libmotr::PREFIX,
        libmotr::PKG_CONFIG,
        "PKG_CONFIG_PATH",
        "PKG_CONFIG_LIBDIR",
        "PKG_CONFIG_SYSROOT_DIR",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let backend = chosen()?;
    compile(&backend)?;
    bind(Path::new(&env::var("OUT_DIR")?))
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=motr-sys: {error}");
            ExitCode::FAILURE
        }
    }
}
