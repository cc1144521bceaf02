//! Rebuilds the crate when a migration is added: the macro that embeds them sees only the files that it has read.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
