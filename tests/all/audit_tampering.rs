//! Tampering with a copied journal is detected by the signed roots even if its checksums and its chain were recomputed, and the
//! fault names what was changed, removed or exchanged.
use std::path::{Path, PathBuf};
use std::process::Command;

use chartward::cli::{Config, House, start};
use sha2::{Digest as _, Sha256};

const FILE_HEADER: usize = 8 + 8 + 32;
const RECORD_HEADER: usize = 52;
const CRC_AT: usize = 48;
const OF_ROW: u8 = 1;
const SALT: usize = 16;

/// A key, its value, and the head of its group of writes: `0`, or `1` with a row and a salt.
type Write = (Vec<u8>, Option<Vec<u8>>, Vec<u8>);

/// A commit of a journal: its header and its writes.
#[derive(Clone)]
struct Commit {
    header: Vec<u8>,
    writes: Vec<Write>,
}

fn number(bytes: &[u8], at: &mut usize) -> usize {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return number;
        }
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut len = bytes.len();
    while len >= 0x80 {
        out.push(u8::try_from(len & 0x7f).unwrap() | 0x80);
        len >>= 7;
    }
    out.push(u8::try_from(len).unwrap());
    out.extend_from_slice(bytes);
}

fn read(file: &[u8]) -> Vec<Commit> {
    let mut commits = Vec::new();
    let mut at = FILE_HEADER;
    while at < file.len() {
        let header = file[at..at + RECORD_HEADER].to_vec();
        let len = usize::try_from(u32::from_be_bytes(header[4..8].try_into().unwrap())).unwrap();
        let payload = &file[at + RECORD_HEADER..at + RECORD_HEADER + len];
        let (mut writes, mut outer) = (Vec::new(), 0);
        while outer < payload.len() {
            let head = if payload[outer] == OF_ROW { 1 + 8 + SALT } else { 1 };
            let head = payload[outer..outer + head].to_vec();
            outer += head.len();
            let len = number(payload, &mut outer);
            let (group, mut inner) = (&payload[outer..outer + len], 0);
            outer += len;
            while inner < group.len() {
                let is_put = group[inner] == 1;
                inner += 1;
                let mut take = || {
                    let len = number(group, &mut inner);
                    inner += len;
                    group[inner - len..inner].to_vec()
                };
                let key = take();
                let value = is_put.then(take);
                writes.push((key, value, head.clone()));
            }
        }
        commits.push(Commit { header, writes });
        at += RECORD_HEADER + len + 32;
    }
    commits
}

/// The journal file for these commits, with recomputed checksums and seals.
fn written(file_header: &[u8], commits: &[Commit]) -> Vec<u8> {
    let mut out = file_header.to_vec();
    let mut seal: [u8; 32] = file_header[16..48].try_into().unwrap();
    for commit in commits {
        let mut record = commit.header.clone();
        let mut sealed = Sha256::new().chain_update(seal).chain_update(&commit.header[8..CRC_AT]);
        for group in commit.writes.chunk_by(|(.., one), (.., other)| one == other) {
            let (head, mut writes) = (&group[0].2, Vec::new());
            for (key, value, _) in group {
                writes.push(u8::from(value.is_some()));
                put(&mut writes, key);
                if let Some(value) = value {
                    put(&mut writes, value);
                }
            }
            record.extend_from_slice(head);
            put(&mut record, &writes);
            let mut digest = Sha256::new().chain_update(&head[..head.len().min(9)]);
            if head[0] == OF_ROW {
                digest.update(Sha256::new().chain_update(&head[9..]).chain_update(&writes).finalize());
            } else {
                digest.update(&writes);
            }
            sealed.update(digest.finalize());
        }
        let len = u32::try_from(record.len() - RECORD_HEADER).unwrap();
        record[4..8].copy_from_slice(&len.to_be_bytes());
        record[CRC_AT..RECORD_HEADER].fill(0);
        let crc = crc32fast::hash(&record);
        record[CRC_AT..RECORD_HEADER].copy_from_slice(&crc.to_be_bytes());
        seal = sealed.finalize().into();
        out.extend_from_slice(&record);
        out.extend_from_slice(&seal);
    }
    out
}

fn journal(data: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(data.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "journal"));
    files.sort();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// Runs `chartward audit verify` on a data directory: whether it succeeded, and its output.
fn verify(data: &Path, more: &[&str]) -> (bool, String) {
    let mut command = Command::new(crate::shipped::binary());
    let ran = command.args(["audit", "verify", data.to_str().unwrap()]).args(more).output().unwrap();
    let text = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (ran.status.success(), text)
}

/// Fills a data directory over HTTP with more than one segment of access records; stopping the server seals the last one.
fn filled(data: &Path) {
    let config = Config { data: data.to_owned(), listen: "127.0.0.1:0".to_owned(), ..Config::default() };
    let house = House::open(&config).unwrap();
    let mut running = start(&config, &house, true, None).unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/Patient", running.base_url);
    let sent = agent
        .post(&url)
        .header("Content-Type", "application/fhir+json")
        .send(r#"{"resourceType":"Patient"}"#);
    assert_eq!(sent.unwrap().status(), 201);
    for number in 0..300 {
        assert_eq!(agent.get(format!("{url}?_id=n{number}")).call().unwrap().status(), 200);
    }
    running.stop().unwrap();
    house.sled.as_ref().unwrap().close().unwrap();
}

#[test]
fn what_is_restored_is_proved_by_the_key_that_signed_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    filled(&path("data"));
    let chartward = |arguments: &[&str]| {
        let ran = Command::new(crate::shipped::binary()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    chartward(&["backup", &text("backup.cwdump"), "--data", &text("data")]);
    chartward(&["restore", &text("backup.cwdump"), "--data", &text("restored")]);
    // Opening the restored directory makes a new key.
    let house = House::open(&Config { data: path("restored"), ..Config::default() }).unwrap();
    assert_eq!(house.verify().unwrap().faults, Vec::<String>::new());
    house.sled.as_ref().unwrap().close().unwrap();
    drop(house);
    let (is_content, said) = verify(&path("restored"), &["--key", &text("data/keys/audit.pub")]);
    assert!(is_content && said.contains("signed by key"), "{said}");
    assert!(!verify(&path("restored"), &[]).0, "the restored directory has another key");
}

#[test]
fn a_record_that_was_cut_is_told_from_one_that_was_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    let anchor = path("elsewhere.ndjson");
    let variables = [("CHARTWARD_AUDIT__ANCHOR", anchor.to_str().unwrap())];
    let chartward = |arguments: &[&str]| {
        let mut command = Command::new(crate::shipped::binary());
        let ran = command.args(arguments).envs(variables).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let agent = crate::process::agent();
    let read = |data: &Path, count: usize| {
        let mut process = crate::process::Process::start_with(data, "", &["--open"], &variables);
        for number in 0..count {
            let url = format!("{}/Patient?_id=n{number}", process.base);
            assert_eq!(agent.get(url).call().unwrap().status(), 200);
        }
        process.stop();
    };
    read(&path("data"), 20);
    chartward(&["backup", &text("backup.cwdump"), "--data", &text("data")]);
    read(&path("data"), 20);
    let with_anchor = ["--anchor", anchor.to_str().unwrap()];
    for more in [&[][..], &with_anchor] {
        let (is_content, said) = verify(&path("data"), more);
        assert!(is_content, "{said}");
    }
    // The journal cut at half, then removed: what is left is a valid chain, so only the count reveals the cut.
    let file = journal(&path("data"));
    let whole = std::fs::read(&file).unwrap();
    for kept in [whole.len() / 2, 0] {
        std::fs::write(&file, &whole[..kept]).unwrap();
        if kept == 0 {
            std::fs::remove_file(&file).unwrap();
        }
        let (is_content, said) = verify(&path("data"), &[]);
        assert!(
            !is_content && (said.contains("the record was cut") || said.contains("journal")),
            "{kept}: {said}"
        );
    }
    // A directory reset as a whole to an earlier state is detected only by an anchor kept elsewhere.
    std::fs::write(&file, &whole).unwrap();
    chartward(&["restore", &text("backup.cwdump"), "--data", &text("restored")]);
    std::fs::create_dir_all(path("restored/keys")).unwrap();
    for name in ["audit.p8", "audit.pub", "issuer.p8"] {
        std::fs::copy(path("data/keys").join(name), path("restored/keys").join(name)).unwrap();
    }
    for more in [&[][..], &with_anchor] {
        let (is_content, said) = verify(&path("restored"), more);
        assert!(is_content && said.contains("restored from a backup"), "{said}");
    }
    // A cut after the restore is detected, too.
    read(&path("restored"), 20);
    std::fs::remove_file(path("restored/audit-count.json")).unwrap();
    assert!(verify(&path("restored"), &with_anchor).0);
    let (is_content, said) = verify(&path("data"), &with_anchor);
    assert!(!is_content, "the other directory is not what the anchor has noted since: {said}");
}

/// The positions of the access records: commit and write within it.
fn accesses(commits: &[Commit]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (commit, at) in commits.iter().zip(0..) {
        for ((key, ..), write) in commit.writes.iter().zip(0..) {
            if key[0] == 7 {
                found.push((at, write));
            }
        }
    }
    found
}

/// The name of a record in reported faults.
fn name(commits: &[Commit], (commit, write): (usize, usize)) -> String {
    let key = &commits[commit].writes[write].0;
    let sequence = u64::from_be_bytes(key[1..9].try_into().unwrap());
    format!("access record {sequence}-{}", u32::from_be_bytes(key[9..13].try_into().unwrap()))
}

#[test]
fn changes_removals_and_exchanges_are_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    filled(&data);
    let (is_content, text) = verify(&data, &[]);
    assert!(is_content && text.contains("the chain is whole"), "{text}");
    let noted = text.lines().find_map(|line| line.strip_prefix("signed by key ")).unwrap();
    let noted = noted.split_once(": ").unwrap().1.to_owned();
    assert!(verify(&data, &["--root", &noted]).0);

    let path = journal(&data);
    let original = std::fs::read(&path).unwrap();
    let header = original[..FILE_HEADER].to_vec();
    let commits = read(&original);
    assert_eq!(written(&header, &commits), original, "the test writes the format as the server does");
    let records = accesses(&commits);
    assert!(records.len() > 290);
    let after = |change: &dyn Fn(&mut Vec<Commit>)| {
        let mut changed = commits.clone();
        change(&mut changed);
        std::fs::write(&path, written(&header, &changed)).unwrap();
        verify(&data, &[])
    };
    // If the chain is not recomputed, the change is found where it is.
    let mut flipped = original.clone();
    flipped[original.len() / 2] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    let (is_content, text) = verify(&data, &[]);
    assert!(!is_content && text.contains("commit "), "{text}");

    for at in [0, 100, 255, 280] {
        let (commit, write) = records[at];
        let own = name(&commits, records[at]);
        let is_sealed = at < 256;
        let (is_content, text) = after(&|commits| {
            let value = commits[commit].writes[write].1.as_mut().unwrap();
            let from = value.len() / 2;
            value[from] ^= 1;
        });
        assert!(!is_content && text.contains("fault: "), "{at}: {text}");
        assert!(!is_sealed || text.contains(&format!("{own} is not as it was sealed")), "{at}: {text}");

        let (is_content, text) = after(&|commits| drop(commits[commit].writes.remove(write)));
        assert!(!is_content, "{at}: {text}");
        assert!(!is_sealed || text.contains("were removed"), "{at}: {text}");

        let (other_commit, other_write) = records[at + 1];
        let other = name(&commits, records[at + 1]);
        let (is_content, text) = after(&|commits| {
            let moved = commits[commit].writes[write].1.take();
            let value = std::mem::replace(&mut commits[other_commit].writes[other_write].1, moved);
            commits[commit].writes[write].1 = value;
        });
        assert!(!is_content, "{at}: {text}");
        assert!(at + 1 >= 256 || (text.contains(&own) && text.contains(&other)), "{at}: {text}");
    }

    // Everything after a moment was cut off, signed roots included. The chain cannot reveal it, but the count beside it does,
    // and if the count is gone too, a root that was noted elsewhere.
    let (is_content, text) = after(&|commits| commits.truncate(records[20].0));
    assert!(!is_content && text.contains("the record was cut"), "{text}");
    let count = data.join("audit-count.json");
    let counted = std::fs::read(&count).unwrap();
    std::fs::remove_file(&count).unwrap();
    assert!(verify(&data, &[]).0);
    let (is_content, text) = verify(&data, &["--root", &noted]);
    assert!(!is_content && text.contains("are missing"), "{text}");

    // Roots signed by another key do not count.
    std::fs::write(&count, counted).unwrap();
    std::fs::write(&path, &original).unwrap();
    let other = folder.path().join("other");
    drop(House::open(&Config { data: other.clone(), ..Config::default() }).unwrap());
    let (is_content, text) = verify(&data, &["--key", other.join("keys/audit.pub").to_str().unwrap()]);
    assert!(!is_content && text.contains("signed by another key"), "{text}");
    assert!(verify(&data, &[]).0);
}
