//! `chartward profiles`: generates the tables of `profiles/` from unpacked official FHIR packages.
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::definitions::Package;

/// Read every JSON file of the given folders, in their order, and write the tables
#[derive(clap::Args)]
pub struct Arguments {
    /// Folders of unpacked packages: hl7.fhir.r4.core 4.0.1, then its expansions
    #[arg(required = true)]
    packages: Vec<PathBuf>,
    /// Write the tables to this folder
    #[arg(long, default_value = "profiles")]
    out: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let mut package = Package::default();
    for folder in &arguments.packages {
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(|error| format!("{}: {error}", folder.display()))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        for file in files {
            let bytes = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
            // Packages also hold files that are no resources.
            if let Ok(resource) = serde_json::from_slice(&bytes) {
                package.add(resource);
            }
        }
    }
    let tables = package.tables();
    write(&arguments.out, "types", &tables.types)?;
    write(&arguments.out, "search-parameters", &tables.search_params)?;
    write(&arguments.out, "compartments", &tables.compartments)?;
    write(&arguments.out, "value-sets", &tables.value_sets)?;
    write(&arguments.out, "code-hierarchy", &tables.code_hierarchy)
}

fn write<T: Serialize>(folder: &Path, name: &str, rows: &[T]) -> Result<(), String> {
    let path = folder.join(format!("{name}.ndjson"));
    let written = fs::File::create(&path).map(std::io::BufWriter::new).and_then(|mut file| {
        for row in rows {
            serde_json::to_writer(&mut file, row)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    });
    written.map_err(|error| format!("{}: {error}", path.display()))
}
