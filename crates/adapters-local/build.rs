//! A new file in `migrations` must rebuild the crate: the macro that reads the folder sees only the files it knew.

#[expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
