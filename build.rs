//! Packs the tables of `profiles/` for embedding: each file is deflated into `OUT_DIR`, so that the binary carries
//! the definitions of R4 in a tenth of their size and a change of a table is still a readable diff.
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=profiles");
    println!("cargo:rerun-if-changed=conformance");
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
    pack_scenarios(Path::new(&out))
}

/// All scenario files as one JSON array, in the order of their paths.
fn pack_scenarios(out: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut files = Vec::new();
    for chapter in std::fs::read_dir("conformance")? {
        let chapter = chapter?.path();
        if chapter.is_dir() {
            for file in std::fs::read_dir(&chapter)? {
                files.push(file?.path());
            }
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let texts = files.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let file = std::fs::File::create(out.join("scenarios.json.deflate"))?;
    let mut packed = flate2::write::DeflateEncoder::new(file, flate2::Compression::best());
    packed.write_all(format!("[{}]", texts.join(",")).as_bytes())?;
    packed.finish()?;
    Ok(())
}
