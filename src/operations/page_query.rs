//! Long queries of searches with several pages. The store keeps them encrypted, so that every server over it can follow their
//! links: as long as a link is valid, and a limited number for each client.
use sha2::{Digest as _, Sha256};

use crate::auth::Party;
use crate::model::Millis;
use crate::store::{At, Batch, Direction, Flow, KeyRange, Sequence, Snapshot, Write, page_queries};

use super::answer::Refusal;
use super::context::Context;
use super::cursor::{CURSOR_MS_MAX, unmade};

/// How many queries of one client and user are kept in one period; a new one displaces the oldest.
const QUERIES_MAX: usize = 256;
/// How many bytes of them, packed, are kept. A single query may be longer.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many expired queries one write removes at most. It adds only one, so expired queries do not accumulate.
const SWEPT_MAX: usize = 16;

/// The name of a stored query: the beginning of its SHA-256.
type Hash = [u8; 16];

/// The additional data that a stored query is encrypted with.
const BOUND: &str = "page-query";

impl Context {
    /// Stores a query, and returns its name.
    pub(super) fn keep_query(&self, party: &Party, packed: &[u8], now: Millis) -> Result<Hash, Refusal> {
        let hash = first(&Sha256::digest(packed));
        let when = when(now);
        let key = key(when, party, &hash);
        let snapshot = self.kv.snapshot(At::Latest)?;
        if snapshot.get(&key)?.is_some() {
            return Ok(hash);
        }
        let prefix = page_queries().number(when).bytes(&who(party)).into_bytes();
        let mut kept: Vec<(Sequence, Vec<u8>, usize)> = Vec::new();
        snapshot.scan(&KeyRange::prefix(prefix), Direction::Forward, &mut |key, value| {
            kept.push((Sequence(0), key.to_vec(), value.len()));
            Flow::Next
        })?;
        for (sequence, key, _) in &mut kept {
            if let Some((_, written)) = snapshot.get(key)? {
                *sequence = written;
            }
        }
        kept.sort();
        let mut bytes = kept.iter().map(|(.., len)| len).sum::<usize>().saturating_add(packed.len());
        let mut count = kept.len();
        let mut room = Vec::new();
        for (_, key, len) in kept {
            if count < QUERIES_MAX && bytes <= BYTES_MAX {
                break;
            }
            count -= 1;
            bytes = bytes.saturating_sub(len);
            room.push(Write { key, value: None, ..Write::default() });
        }
        let sealed = self.sealer.seal(packed.to_vec(), BOUND).ok_or_else(unmade)?;
        let mut writes = over(&*snapshot, when)?;
        writes.extend(room);
        writes.push(Write { key, value: Some(sealed), ..Write::default() });
        self.kv.commit(Batch { writes, ..Batch::default() }).wait()?;
        Ok(hash)
    }

    /// The query with this name, for a link that was made at `made`.
    pub(super) fn kept_query(
        &self,
        party: &Party,
        hash: &[u8],
        made: Millis,
    ) -> Result<Option<Vec<u8>>, Refusal> {
        let Ok(hash) = Hash::try_from(hash) else { return Ok(None) };
        let found = self.kv.snapshot(At::Latest)?.get(&key(when(made), party, &hash))?;
        Ok(found.and_then(|(sealed, _)| self.sealer.open(sealed.to_vec(), BOUND)))
    }
}

/// The number of a time's period. Periods are as long as a link is valid, so a link expires before the end of the next one.
fn when(now: Millis) -> u64 {
    u64::try_from(now.div_euclid(CURSOR_MS_MAX)).unwrap_or(0)
}

fn who(party: &Party) -> [u8; 8] {
    first(&Sha256::digest(format!("{}\n{}", party.client, party.subject)))
}

fn first<const LEN: usize>(bytes: &[u8]) -> [u8; LEN] {
    let mut out = [0; LEN];
    out.iter_mut().zip(bytes).for_each(|(out, byte)| *out = *byte);
    out
}

fn key(when: u64, party: &Party, hash: &Hash) -> Vec<u8> {
    page_queries().number(when).bytes(&who(party)).bytes(hash).into_bytes()
}

/// The removal of some queries whose links have all expired.
fn over(snapshot: &dyn Snapshot, when: u64) -> Result<Vec<Write>, Refusal> {
    let at = |when: u64| page_queries().number(when).into_bytes();
    let range = KeyRange { start: at(0), end: at(when.saturating_sub(1)) };
    let mut removals = Vec::new();
    snapshot.scan(&range, Direction::Forward, &mut |key, _| {
        removals.push(Write { key: key.to_vec(), value: None, ..Write::default() });
        if removals.len() < SWEPT_MAX { Flow::Next } else { Flow::Stop }
    })?;
    Ok(removals)
}
