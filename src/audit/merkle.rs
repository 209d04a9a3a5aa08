//! The Merkle tree over the access records (RFC 6962 section 2.1). Its root stands for all records, a path proves that one record
//! is among them, and a consistency proof shows that a later tree only added to an earlier one.
use sha2::{Digest as _, Sha256};

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The hash of a leaf.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(data).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The source of the leaves' hashes.
pub trait Leaves {
    type Error;

    /// The hash of a leaf.
    ///
    /// # Errors
    /// If it cannot be read.
    fn leaf(&self, index: u64) -> Result<Hash, Self::Error>;

    /// The root over the leaves from `start` up to, not including, `end`, if it is known already.
    fn known(&self, start: u64, end: u64) -> Option<Hash>;
}

/// The largest power of two below a number above 1.
fn split(len: u64) -> u64 {
    len.next_power_of_two() / 2
}

/// The root over the leaves from `start` up to, not including, `end`.
///
/// # Errors
/// If a leaf cannot be read.
pub fn root<L: Leaves>(leaves: &L, start: u64, end: u64) -> Result<Hash, L::Error> {
    if let Some(known) = leaves.known(start, end) {
        return Ok(known);
    }
    match end.saturating_sub(start) {
        0 => Ok(Sha256::digest([]).into()),
        1 => leaves.leaf(start),
        len => {
            let middle = start + split(len);
            Ok(node_hash(&root(leaves, start, middle)?, &root(leaves, middle, end)?))
        }
    }
}

/// The path from a leaf to the root of the first `size` leaves, from the bottom up.
///
/// # Errors
/// If a leaf cannot be read.
pub fn inclusion<L: Leaves>(leaves: &L, index: u64, size: u64) -> Result<Vec<Hash>, L::Error> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(root(leaves, middle, end)?);
            end = middle;
        } else {
            path.push(root(leaves, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof that the tree of the first `new` leaves extends the tree of the first `old`.
///
/// # Errors
/// If a leaf cannot be read.
pub fn consistency<L: Leaves>(leaves: &L, old: u64, new: u64) -> Result<Vec<Hash>, L::Error> {
    let mut proof = Vec::new();
    let (mut start, mut end, mut is_known) = (0, new, true);
    if old == 0 {
        return Ok(proof);
    }
    while old < end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(root(leaves, middle, end)?);
            end = middle;
        } else {
            proof.push(root(leaves, start, middle)?);
            start = middle;
            is_known = false;
        }
    }
    if !is_known {
        proof.push(root(leaves, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root to which a path leads from a leaf (RFC 9162 section 2.1.3.2); `None` for a path of the wrong length.
#[must_use]
pub fn root_of_path(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut at, mut last) = (index, size.checked_sub(1)?);
    if at > last {
        return None;
    }
    let mut hash = leaf;
    for step in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(step, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Whether a proof shows that the tree of `new` leaves extends the tree of `old` (RFC 9162 section 2.1.4.2).
#[must_use]
pub fn is_consistent((old, old_root): (u64, Hash), (new, new_root): (u64, Hash), proof: &[Hash]) -> bool {
    if old == 0 || old == new {
        return proof.is_empty() && (old == 0 || old_root == new_root);
    }
    if old > new {
        return false;
    }
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        at >>= 1;
        last >>= 1;
    }
    let mut steps = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { steps.next().copied() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (first, first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            old_hash = node_hash(step, &old_hash);
            new_hash = node_hash(step, &new_hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, step);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == old_root && new_hash == new_root
}

#[cfg(test)]
mod tests {
    use super::{Hash, Leaves, consistency, inclusion, is_consistent, leaf_hash, root, root_of_path};

    struct List(Vec<Hash>);

    impl Leaves for List {
        type Error = ();

        fn leaf(&self, index: u64) -> Result<Hash, ()> {
            self.0.get(usize::try_from(index).unwrap()).copied().ok_or(())
        }

        fn known(&self, _: u64, _: u64) -> Option<Hash> {
            None
        }
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// The usual test inputs for implementations of Certificate Transparency.
    fn known_leaves() -> List {
        let inputs = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ];
        List(inputs.iter().map(|input| leaf_hash(&bytes(input))).collect())
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let expected = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let leaves = known_leaves();
        for (size, expected) in (0..).zip(expected) {
            assert_eq!(root(&leaves, 0, size).unwrap().to_vec(), bytes(expected), "{size} leaves");
        }
    }

    #[test]
    fn paths_lead_to_the_root_from_their_leaf_alone() {
        let leaves = List((0..70_u8).map(|number| leaf_hash(&[number])).collect());
        for size in 1..=70 {
            let whole = root(&leaves, 0, size).unwrap();
            for index in 0..size {
                let path = inclusion(&leaves, index, size).unwrap();
                let leaf = leaves.leaf(index).unwrap();
                assert_eq!(root_of_path(leaf, index, size, &path), Some(whole));
                assert_ne!(root_of_path(leaf_hash(b"other"), index, size, &path), Some(whole));
                assert_ne!(root_of_path(leaf, index + 1, size, &path), Some(whole));
                let longer = [path.as_slice(), &[whole]].concat();
                assert_ne!(root_of_path(leaf, index, size, &longer), Some(whole));
            }
        }
    }

    #[test]
    fn a_tree_is_consistent_with_what_it_grew_from_and_nothing_else() {
        let leaves = List((0..40_u8).map(|number| leaf_hash(&[number])).collect());
        let mut changed = List(leaves.0.clone());
        changed.0[3] = leaf_hash(b"other");
        for new in 0..=40 {
            for old in 0..=new {
                let proof = consistency(&leaves, old, new).unwrap();
                let at = |leaves: &List, size| (size, root(leaves, 0, size).unwrap());
                assert!(is_consistent(at(&leaves, old), at(&leaves, new), &proof), "{old} of {new}");
                if old > 3 {
                    assert!(!is_consistent(at(&changed, old), at(&leaves, new), &proof));
                    assert!(!is_consistent(at(&leaves, old), at(&changed, new), &proof));
                }
            }
        }
    }
}
