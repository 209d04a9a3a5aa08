//! Reads a SearchParameter resource (R4 searchparameter.html) as a row like those of the standard.
use crate::definitions::{ComponentRow, ParamType, SearchParamRow, r4};
use crate::fhirpath::Expression;
use crate::model::{Node, parse};
use crate::search::search_params;

/// Why a SearchParameter is not served, as text.
pub type Unserved = String;

/// The URL of a resource, and the row that it defines or why it defines none; `None` for a resource without a URL.
pub(super) fn definition(text: &str) -> Option<(String, Result<SearchParamRow, Unserved>)> {
    let tree = parse(text.as_bytes().to_vec()).ok()?;
    let url = tree.root().str_at("url")?.to_owned();
    let row = row(tree.root(), &url);
    Some((url, row))
}

fn row(resource: Node<'_>, url: &str) -> Result<SearchParamRow, Unserved> {
    if resource.str_at("status") == Some("retired") {
        return Err("it is retired".to_owned());
    }
    let text = |name: &str| resource.str_at(name).map(str::to_owned);
    let list =
        |name: &str| -> Vec<String> { resource.items_at(name).map(|item| item.text().to_owned()).collect() };
    let code = text("code").ok_or("it has no code")?;
    let is_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if code.is_empty() || !code.chars().all(is_name) {
        return Err(format!("`{code}` cannot stand in a query"));
    }
    let kind = text("type").unwrap_or_default();
    let kind: ParamType = serde_json::from_value(serde_json::Value::String(kind.clone()))
        .map_err(|_| format!("`{kind}` is no type of search parameter"))?;
    let expression = text("expression").ok_or("it has no expression")?;
    Expression::compile(&expression).map_err(|error| format!("its expression: {error}"))?;
    if kind == ParamType::Special {
        return Err("what a special parameter means only a program can say".to_owned());
    }
    let base = list("base");
    for name in &base {
        let def = r4().find(name).ok_or_else(|| format!("`{name}` is no type of R4"))?;
        if let Some(known) = search_params().find(def, &code) {
            return Err(format!("the standard's parameter {} of {name} has its code", known.url));
        }
    }
    let components: Vec<ComponentRow> = resource
        .items_at("component")
        .filter_map(|part| {
            let (definition, expression) = (part.str_at("definition")?, part.str_at("expression")?);
            Some(ComponentRow { definition: definition.to_owned(), expression: expression.to_owned() })
        })
        .collect();
    if (kind == ParamType::Composite) == components.is_empty() {
        return Err("a composite has components, and nothing else has".to_owned());
    }
    let targets = list("target");
    // A reference parameter without targets may lead to every type.
    let targets = if kind == ParamType::Reference && targets.is_empty() {
        r4().resources().map(|def| def.name.to_string()).collect()
    } else {
        targets
    };
    Ok(SearchParamRow {
        code,
        url: url.to_owned(),
        base,
        kind,
        expression: Some(expression),
        targets,
        components,
        usage: None,
    })
}
