//! A request for a page, as its handler receives it.
use std::sync::Arc;

use crate::auth::{BrowserSession, Party};
use crate::model::Temporal;
use crate::operations::{Engine, Sender};

use super::asking::{Asking, Work};
use super::people::Demonstration;
use super::problem::Problem;

/// What all pages share.
#[derive(Clone)]
pub(super) struct Ui {
    pub(super) engine: Arc<Engine>,
    pub(super) work: Arc<dyn Work>,
    pub(super) demonstration: Demonstration,
}

impl Ui {
    pub(super) fn base_url(&self) -> &str {
        &self.engine.options.base_url
    }
}

/// A place in the menu.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    /// What it is for, in a sentence.
    pub(super) says: &'static str,
}

/// A request for a page.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) ui: Ui,
    /// The parts of the path that the page's row leaves open, decoded.
    pub(super) path: Vec<String>,
    pub(super) query: Vec<(String, String)>,
    /// The fields of a posted form.
    pub(super) form: Vec<(String, String)>,
    /// The id in the browser's cookie: of its session, or, before signing in, of nothing but its forms.
    pub(super) cookie: String,
    pub(super) session: Option<BrowserSession>,
    /// The party of an emergency, on the pages of the record that it opens.
    pub(super) emergency: Option<Arc<Party>>,
    pub(super) sender: Sender,
    /// The places of the menu for whoever has signed in.
    pub(super) menu: Vec<Place>,
    /// Path and query of the request.
    pub(super) target: String,
}

impl Visit {
    /// The value of a form's field; empty if it is missing.
    pub(super) fn field(&self, name: &str) -> &str {
        of(&self.form, name)
    }

    /// The value of a query parameter; empty if it is missing.
    pub(super) fn parameter(&self, name: &str) -> &str {
        of(&self.query, name)
    }

    /// The page to which signing in leads: one on this server.
    pub(super) fn wanted(&self) -> String {
        let wanted = [self.field("to"), self.parameter("to")].into_iter().find(|to| !to.is_empty());
        wanted.filter(|to| is_own_path(to)).unwrap_or("/").to_owned()
    }

    /// Whether whoever has signed in has the right to break the glass.
    pub(super) fn may_break_glass(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.party.may_declare_emergency())
    }

    /// The party that asks: in an emergency that of the emergency; whoever has signed in, or the own system on an open server.
    pub(super) fn party(&self) -> Result<Arc<Party>, Problem> {
        if let Some(party) = &self.emergency {
            return Ok(party.clone());
        }
        match &self.session {
            Some(session) => Ok(session.party.clone()),
            None => self.ui.engine.authenticate(None).map_err(|_| Problem::SignIn),
        }
    }

    /// The date of today (`YYYY-MM-DD`).
    pub(super) fn today(&self) -> String {
        Temporal::from_millis(self.ui.engine.authorization().now()).date().to_text()
    }

    pub(super) fn asking(&self) -> Result<Asking, Problem> {
        let (engine, work) = (self.ui.engine.clone(), self.ui.work.clone());
        Ok(Asking { engine, work, party: self.party()?, sender: self.sender.clone() })
    }
}

fn of<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    pairs.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// Whether a text is a path on this server and leads nowhere else: browsers take `//` and `/\` for the begin of a host.
pub(super) fn is_own_path(text: &str) -> bool {
    let has_host = text.starts_with("//") || text.starts_with("/\\");
    text.starts_with('/') && !has_host && !text.chars().any(|sign| sign.is_control() || sign == '\\')
}

#[cfg(test)]
mod tests {
    use super::is_own_path;

    #[test]
    fn one_returns_to_this_server_only() {
        for own in ["/", "/fhir/Patient/p1?_format=json", "/p/p1#top"] {
            assert!(is_own_path(own), "{own}");
        }
        for other in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "p", "/a\r\nb", "/\t/evil"]
        {
            assert!(!is_own_path(other), "{other}");
        }
    }
}
