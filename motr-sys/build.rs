//! Compiles the C side with one backend and generates the bindings to
//! `csrc/bridge.h`, the only header that bindgen sees.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Sources in `csrc` that every backend has.
const COMMON: [&str; 5] = ["args", "bridge", "map", "msg", "registry"];

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
    })
}

fn compile(backend: &Backend) -> Result<(), Box<dyn Error>> {
    cc::Build::new()
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
    for dir in ["csrc", "embedded"] {
        println!("cargo::rerun-if-changed={dir}");
    }
    let backend = embedded()?;
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
