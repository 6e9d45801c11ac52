//! Stops the build with one sentence when the browser code that goes into the binary is missing.

use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=static/dist");
    let built = Path::new("static/dist").read_dir();
    if !built.is_ok_and(|mut files| files.next().is_some()) {
        println!("cargo::error=the browser code isn't built: run scripts/setup");
    }
}
