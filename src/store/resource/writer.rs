//! Who wrote a version.

/// The value under the `belongs` key of a subject whom a correction took off.
pub(super) const TAKEN_OFF: &[u8] = &[1];

/// The party that writes a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub fingerprint: Fingerprint,
    /// Whether the party may see every Binary that the version refers to. Otherwise the reference gives nobody access to it.
    pub sees_binaries: bool,
    /// Set for a Binary whose writer may not see its security context: the organization (or the party, if it has none) that
    /// alone may see the Binary.
    pub confined_to: Option<Fingerprint>,
}

/// The first half of the SHA-256 of a party's identity: enough to recognise the party, but it does not reveal who it is.
pub type Fingerprint = [u8; 16];
