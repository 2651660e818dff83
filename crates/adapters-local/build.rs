//! A new file in `migrations` must rebuild the crate: the macro that reads the folder sees only the files it knew.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
