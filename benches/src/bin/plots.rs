//! Draws the plots of `docs/plots` from `benches/results` and writes the tables beside them, and takes away plots that no
//! result stands behind.

use ashlar_benches::figures::tables;
use ashlar_benches::plot::{draw_all, read_results};
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../docs/plots");
    fs::create_dir_all(&folder)?;
    for old in fs::read_dir(&folder)? {
        fs::remove_file(old?.path())?;
    }
    let records = read_results(&root.join("results"))?;
    fs::write(folder.join("figures.md"), tables(&records))?;
    for plot in draw_all(&records)? {
        fs::write(folder.join(plot.name), plot.svg)?;
        writeln!(std::io::stdout(), "docs/plots/{}", plot.name)?;
    }
    Ok(())
}
