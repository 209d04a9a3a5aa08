//! `chartward audit verify`: checks the sealed chain of commits, the access records in it, and the signed roots over the records.
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::audit::{Examination, Examined, SignedRoot};
use crate::model::from_hex;
use crate::store::{Chain, Sequence, read_chain};

use super::anchor::{AnchorLine, Restored, read, read_beside_journal, restore_told};
use super::house::is_data;

/// Check the record of accesses offline
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Read the journal of a data directory, or of a copy, and check that nothing was removed, changed or reordered
    Verify {
        /// The data directory
        #[arg(default_value = "./chartward-data")]
        data: PathBuf,
        /// Public audit keys to trust instead of the directory's `keys/audit.pub`, one per line
        #[arg(long)]
        key: Option<PathBuf>,
        /// The file to which the server appends its signed roots (`audit.anchor`): check that the records lead to each of them
        #[arg(long)]
        anchor: Option<PathBuf>,
        /// A root noted earlier, as SIZE:ROOT: check that the records lead to it
        #[arg(long)]
        root: Option<String>,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), String> {
    let Command::Verify { data, key, anchor, root } = &arguments.command;
    is_data(data)?;
    let mut noted = read_beside_journal(data)?;
    noted.extend(anchor.as_deref().map(read).transpose()?.unwrap_or_default());
    let noted = Expected::of(noted);
    let keys = public_keys(data, key.as_deref())?;
    let mut examination = Examination::default();
    if let Some(noted) = root {
        let (size, root) = noted.split_once(':').ok_or("a noted root is written as SIZE:ROOT")?;
        let size = size.parse().map_err(|_| "the size of a noted root is a number")?;
        examination.note(size, root.to_ascii_lowercase());
    }
    noted.roots.iter().for_each(|root| examination.note(root.size, root.root.clone()));
    let mut restored = noted.restored.clone();
    let chain = read_chain(data, &mut |commit, key, value| {
        restored.extend(restore_told(key, value).filter(|told| !noted.restored.contains(told)));
        examination.tell(commit, key, value);
    })
    .map_err(|error| error.to_string())?;
    let examined = examination.finish(&keys);
    let mut out = std::io::stdout().lock();
    let mut say = |text: String| writeln!(out, "{text}").map_err(|error| error.to_string());
    say(format!("the chain is whole: {} commits, {} access records", chain.commits, examined.records))?;
    if chain.torn_bytes > 0 {
        let torn_bytes = chain.torn_bytes;
        say(format!("the last {torn_bytes} bytes are no whole commit: a write that was cut off, or damage"))?;
    }
    say_erasures(&chain, &examined, &mut say)?;
    match &examined.newest {
        Some(newest) if !keys.is_empty() => {
            say(format!("signed by key {}: {}:{}", newest.key, newest.size, newest.root))?;
        }
        Some(_) => {
            say("there are signed roots and no key to check them with: give it with --key".to_owned())?
        }
        None => say("no root over the records has been signed yet".to_owned())?,
    }
    for restored in &restored {
        say(restored.told())?;
    }
    if anchor.is_none() {
        say("without --anchor nobody can tell whether the directory as a whole is an older copy".to_owned())?;
    }
    let cut = noted.count.filter(|count| *count > examined.records).map(|count| {
        format!("the record was cut: {count} access records were signed, {} are here", examined.records)
    });
    let unexplained = chain
        .unexplained
        .iter()
        .map(|row| format!("what commits said of row {row} is gone, and no erasure names it"));
    let faults: Vec<String> = examined.faults.iter().cloned().chain(cut).chain(unexplained).collect();
    for fault in &faults {
        say(format!("fault: {fault}"))?;
    }
    if faults.is_empty() { Ok(()) } else { Err("the record of accesses is not as it was".to_owned()) }
}

/// What was noted of the access records outside the store.
struct Expected {
    roots: Vec<SignedRoot>,
    /// The least number of records that there must be.
    count: Option<u64>,
    restored: Vec<Restored>,
}

impl Expected {
    /// What to expect after all notes, in their order. A restore cancels notes about records that the backup lacks.
    fn of(noted: Vec<AnchorLine>) -> Self {
        let mut expected = Self { roots: Vec::new(), count: None, restored: Vec::new() };
        for noted in noted {
            match noted {
                AnchorLine::Root(root) => {
                    expected.count = expected.count.max(Some(root.size));
                    expected.roots.push(root);
                }
                AnchorLine::Restored(restored) => {
                    expected.roots.retain(|root| root.size <= restored.to);
                    expected.count = Some(restored.to);
                    if !expected.restored.contains(&restored) {
                        expected.restored.push(restored);
                    }
                }
            }
        }
        expected
    }
}

/// Prints which patients' files were erased, and how many commits lack the erased content.
fn say_erasures(
    chain: &Chain,
    examined: &Examined,
    say: &mut dyn FnMut(String) -> Result<(), String>,
) -> Result<(), String> {
    for ((Sequence(sequence), number), access) in &examined.erasures {
        let Some(erased) = access.erased else { continue };
        say(format!(
            "access record {sequence}-{number}: the file of {} was erased, {} resources with {} versions",
            access.patients.join(", "),
            erased.resources,
            erased.versions
        ))?;
    }
    if !chain.erased.is_empty() {
        say(format!(
            "{} resources are erased; {} commits lack what they said of them",
            chain.erased.len(),
            chain.commits_erased
        ))?;
    }
    Ok(())
}

/// The public points of the audit keys: from the given file, or else from the directory's own.
fn public_keys(data: &Path, file: Option<&Path>) -> Result<Vec<Vec<u8>>, String> {
    let own = data.join("keys/audit.pub");
    if file.is_none() && !own.exists() {
        return Ok(Vec::new());
    }
    let path = file.unwrap_or(&own);
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wrong = || format!("{} holds something else than public keys", path.display());
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| from_hex(line.trim()).ok_or_else(wrong))
        .collect()
}
