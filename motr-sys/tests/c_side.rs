//! The C side's own tests, built and run under ASan and UBSan by `ctest/run`.

use std::path::Path;
use std::process::Command;

#[test]
fn is_clean_under_asan_and_ubsan() {
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("ctest/run");
    let output = Command::new(&run)
        .arg("asan")
        .env("OUT", env!("CARGO_TARGET_TMPDIR"))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", run.display()));
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && stdout.ends_with("asan: clean\n"),
        "{}\n{stdout}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}
