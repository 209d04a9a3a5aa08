//! Accounts of accesses as pages to print: self-contained, without scripts, in black on white.
use maud::{DOCTYPE, PreEscaped, html};

/// A page under construction.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    /// The names of the patient and of the hospital, where they may be shown.
    pub patient: Option<String>,
    pub hospital: Option<String>,
    /// Paragraphs above the table.
    pub remarks: Vec<String>,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// The text that replaces an empty table.
    pub nothing: String,
}

const STYLE: &str = "body{font:11pt/1.4 serif;max-width:60em;margin:2em auto;padding:0 1em;color:#000;background:#fff}\
h1{font-size:16pt}table{border-collapse:collapse;width:100%}th,td{border:1px solid #000;padding:.3em .5em;\
text-align:left;vertical-align:top}thead{display:table-header-group}tr{break-inside:avoid}\
@media print{body{margin:0;max-width:none}@page{margin:2cm}}";

impl Page {
    /// The page as HTML.
    #[must_use]
    pub fn html(&self) -> String {
        let named = [("Patient", &self.patient), ("Record kept by", &self.hospital)];
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    @for (what, name) in named {
                        @if let Some(name) = name { p { (what) ": " strong { (name) } } }
                    }
                    @for remark in &self.remarks { p { (remark) } }
                    @if self.rows.is_empty() {
                        p { (self.nothing) }
                    } @else {
                        table {
                            thead { tr { @for column in &self.columns { th { (column) } } } }
                            tbody { @for row in &self.rows { tr { @for cell in row { td { (cell) } } } } }
                        }
                    }
                }
            }
        };
        page.into_string()
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn names_are_texts_and_never_markup() {
        let page = Page {
            title: "Accounting".to_owned(),
            columns: vec!["Recipient".to_owned()],
            rows: vec![vec!["<script>alert(\"A & B\")</script>".to_owned()]],
            nothing: "Nothing.".to_owned(),
            ..Page::default()
        };
        let html = page.html();
        assert!(html.contains("&lt;script&gt;alert(&quot;A &amp; B&quot;)"), "{html}");
        assert!(!html.contains("<script") && !html.contains("Nothing."));
        assert!(Page { rows: Vec::new(), ..page }.html().contains("<p>Nothing.</p>"));
    }
}
