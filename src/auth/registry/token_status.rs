//! Whether a token still stands: its client and user are not disabled and were not since, it was not revoked, nor was what
//! it rests on.
//! Asked at every request, and answered from memory as long as no registration has changed.
use crate::store::{At, Snapshot, StoreError, registrations_key};

use super::super::party::Party;
use super::client::Client;
use super::expiring_records::{Expiring, kept};
use super::grant::Grant;
use super::records::{Registry, read};
use super::user::User;

impl Registry {
    /// Whether the party of a verified token is still to be heard.
    ///
    /// # Errors
    /// [`StoreError`] if the disk fails: who cannot be asked about is not to be heard.
    pub fn admits(&self, party: &Party) -> Result<bool, StoreError> {
        let snapshot = self.kv.snapshot(At::Latest)?;
        let epoch = snapshot.get(&registrations_key())?.map(|(_, sequence)| sequence);
        if epoch.is_none() && party.grant.is_none() {
            // Nothing was ever registered or revoked.
            return Ok(true);
        }
        let grant = party.grant.as_deref().unwrap_or_default();
        let name = format!("{}\n{}\n{grant}", party.client, party.token_id);
        if self.standings.0.get(&name) == Some(epoch) {
            return Ok(true);
        }
        let stands = stands(&*snapshot, party)?;
        if stands {
            self.standings.0.insert(name, epoch);
        }
        Ok(stands)
    }
}

fn stands(snapshot: &dyn Snapshot, party: &Party) -> Result<bool, StoreError> {
    // A token that was minted with the issuer's key names a client that need not be registered.
    let client = read::<Client>(snapshot, "client", &party.client)?.map(|(client, _)| client);
    if client.as_ref().is_some_and(|client| client.disabled || party.issued < client.not_before) {
        return Ok(false);
    }
    if kept::<bool>(snapshot, Expiring::Revoked, &party.token_id)?.is_some() {
        return Ok(false);
    }
    let Some(id) = &party.grant else { return Ok(true) };
    let Some((grant, _)) = kept::<Grant>(snapshot, Expiring::Grant, id)? else { return Ok(false) };
    let user = read::<User>(snapshot, "user", &grant.user)?;
    Ok(grant.stands(user.map(|(user, _)| user).as_ref(), client.as_ref()))
}
