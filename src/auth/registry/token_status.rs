//! Whether a token is still valid: neither the token nor its grant was revoked, and its client and user are enabled and
//! were not disabled or changed since it was issued. This is checked at every request, from a cache while the registry is
//! unchanged.
use crate::store::{At, Snapshot, StoreError, registrations_key};

use super::super::party::Party;
use super::client::Client;
use super::expiring_records::{Expiring, kept};
use super::grant::Grant;
use super::records::{Registry, read};
use super::user::User;

impl Registry {
    /// Whether the party of a verified token is still admitted.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read; then the party must not be admitted.
    pub fn admits(&self, party: &Party) -> Result<bool, StoreError> {
        let snapshot = self.kv.snapshot(At::Latest)?;
        let epoch = snapshot.get(&registrations_key())?.map(|(_, sequence)| sequence);
        if epoch.is_none() && party.grant.is_none() {
            // Nothing has ever been registered or revoked.
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
    // A token minted with the issuer's key may name a client without a registration.
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
