//! Who has written a resource.

/// The value under the key of a subject that was taken off.
pub(super) const TAKEN_OFF: &[u8] = &[1];

/// Who writes a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub fingerprint: Fingerprint,
    /// Whether it may see every Binary that the version refers to: only then does the reference decide who reads the Binary.
    pub sees_binaries: bool,
    /// The organization (or party of none) to which alone a Binary is shown, because its writer may not see its security context.
    pub confined_to: Option<Fingerprint>,
}

/// The first half of the SHA-256 of who a party is: enough to know it again, and nothing to find it by.
pub type Fingerprint = [u8; 16];
