//! Those from whom one chooses who a Consent is about.
use crate::model::Node;
use crate::operations::RefusalKind;

use super::super::asking::{Asking, plain_value};
use super::super::parts::name_of;
use super::super::problem::Problem;

/// How many of each type are offered.
const OFFERED: &str = "10";

/// Somebody to choose.
#[derive(Clone, Debug)]
pub(super) struct Recipient {
    pub(super) reference: String,
    pub(super) name: String,
}

/// Organizations and professionals whose names have these words; without words, the first organizations by name.
pub(super) async fn recipients(asking: &Asking, sought: &str) -> Result<Vec<Recipient>, Problem> {
    let words: Vec<String> = sought.split_whitespace().map(plain_value).collect();
    let types: &[&str] = if words.is_empty() { &["Organization"] } else { &["Organization", "Practitioner"] };
    let mut found = Vec::new();
    for type_name in types {
        let mut query =
            vec![("_count".to_owned(), OFFERED.to_owned()), ("_sort".to_owned(), "name".to_owned())];
        query.extend(words.iter().map(|word| ("name:contains".to_owned(), word.clone())));
        let bundle = match asking.resource(&[type_name], query).await {
            Ok(bundle) => bundle,
            // A role that may not search for them chooses among the others.
            Err(Problem::Refused(refusal)) if refusal.kind == RefusalKind::Forbidden => continue,
            Err(problem) => return Err(problem),
        };
        let resources = bundle.root().items_at("entry").filter_map(|entry| entry.get("resource"));
        found.extend(resources.filter_map(recipient));
    }
    Ok(found)
}

fn recipient(resource: Node<'_>) -> Option<Recipient> {
    let type_name = resource.str_at("resourceType").filter(|name| *name != "OperationOutcome")?;
    let reference = format!("{type_name}/{}", resource.str_at("id")?);
    Some(Recipient { name: name_of(resource).unwrap_or_else(|| reference.clone()), reference })
}

/// Somebody by reference, if whoever asks may know the name.
pub(super) async fn called(asking: &Asking, reference: &str) -> Option<Recipient> {
    let (type_name, id) = reference.split_once('/')?;
    let tree = asking.resource(&[type_name, id], Vec::new()).await.ok()?;
    recipient(tree.root())
}
