//! Generates the message types, API keys, error codes and record enums from `schema/`.

mod generator;

use std::{env, error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schema");
    println!("cargo::rerun-if-changed=generator");
    generator::run(Path::new("schema"), Path::new(&env::var("OUT_DIR")?))
}
