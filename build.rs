//! Packs the tables of `profiles/` for embedding: each file is deflated into `OUT_DIR`, so that the binary carries
//! the definitions of R4 in a tenth of their size and a change of a table is still a readable diff.
#![allow(clippy::indexing_slicing, reason = "JSON that is not there is null; a build script may fail")]
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
    every_candidate_has_a_row()?;
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo:rustc-env=BUILD_DATE={}", build_date()?);
    pack_scenarios(Path::new(&out))
}

/// The date of the build, or of SOURCE_DATE_EPOCH for a reproducible build
/// (https://reproducible-builds.org/specs/source-date-epoch/).
fn build_date() -> Result<String, Box<dyn std::error::Error>> {
    let seconds: i64 = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(given) => given.parse()?,
        Err(_) => std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs().try_into()?,
    };
    // Days since 0000-03-01, in eras of 400 years.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12 + 1;
    Ok(format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2)))
}

/// Fails the build if an element may refer to a Patient, directly or through another resource, but has no row in
/// `profiles/data-subjects.ndjson` that says whether that Patient is a data subject. Without a row, resources with that element
/// would have no data subject.
fn every_candidate_has_a_row() -> Result<(), Box<dyn std::error::Error>> {
    const TARGETS: [&str; 6] = ["Patient", "RelatedPerson", "Group", "Appointment", "Person", "Resource"];
    let rows = |name: &str| -> Result<Vec<serde_json::Value>, Box<dyn std::error::Error>> {
        let text = std::fs::read_to_string(Path::new("profiles").join(name))?;
        Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    };
    let named: Vec<String> = rows("data-subjects.ndjson")?
        .iter()
        .map(|row| row["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    for row in rows("types.ndjson")? {
        if row["abstract"] == true || row["kind"] == "primitive" || row["name"] == "Reference" {
            continue;
        }
        for element in list(&row["elements"]) {
            let may_name = |of: &serde_json::Value| {
                let targets = list(&of["targets"]);
                of["code"] == "Reference"
                    && (targets.is_empty()
                        || targets.iter().any(|target| TARGETS.iter().any(|name| target == name)))
            };
            let choice = if element["choice"] == true { "[x]" } else { "" };
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let path = format!("{}.{}{choice}", text(&row["name"]), text(&element["name"]));
            if list(&element["types"]).iter().any(may_name) && !named.contains(&path) {
                return Err(format!("profiles/data-subjects.ndjson has no row for {path}").into());
            }
        }
    }
    Ok(())
}

/// Packs all scenario files into one JSON array, sorted by path.
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
