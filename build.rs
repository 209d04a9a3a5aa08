//! Packs the tables of `profiles/` for embedding: each file is deflated into `OUT_DIR`, so that the binary carries
//! the definitions of R4 in a tenth of their size and a change of a table is still a readable diff.
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=profiles");
    println!("cargo:rerun-if-changed=build.rs");
    let out = std::env::var("OUT_DIR")?;
    for entry in std::fs::read_dir("profiles")? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "ndjson") {
            continue;
        }
        let name = path.file_name().ok_or("a table has a name")?.to_string_lossy().into_owned();
        let file = std::fs::File::create(Path::new(&out).join(format!("{name}.deflate")))?;
        let mut packed = flate2::write::DeflateEncoder::new(file, flate2::Compression::best());
        packed.write_all(&std::fs::read(&path)?)?;
        packed.finish()?;
    }
    Ok(())
}
