//! Extends the index of AuditEvents to new access records; the server calls this in the background.
use crate::audit::{Making, Reader};
use crate::store::{Sequence, StoreError};

use super::super::context::Context;

impl Context {
    /// Indexes some of the access records that are not indexed yet; returns whether there may be more.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read or written.
    pub fn index_accesses(&self) -> Result<bool, StoreError> {
        let version_id = |sequence: Sequence| self.cipher.id(sequence);
        let making =
            Making { reader: Reader::Auditor, base_url: &self.options.base_url, version_id: &version_id };
        self.audit_index.advance(&*self.kv, &making)
    }
}
