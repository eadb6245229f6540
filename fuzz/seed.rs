//! Writes the targets' first inputs below the folder given.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let corpus = std::env::args().nth(1).ok_or("which folder?")?;
    klamm_fuzz::seeds::write(Path::new(&corpus))
}
