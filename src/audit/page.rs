//! Accounts of accesses as pages to print: self-contained, without scripts, in black on white.
use std::fmt::Write as _;

/// A page in the making.
#[derive(Clone, Debug, Default)]
pub struct Page {
    pub title: String,
    /// The name of the patient and of the hospital, where they may be told.
    pub patient: Option<String>,
    pub hospital: Option<String>,
    /// Paragraphs above the table.
    pub remarks: Vec<String>,
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
    /// What is said instead of an empty table.
    pub nothing: String,
}

const STYLE: &str = "body{font:11pt/1.4 serif;max-width:60em;margin:2em auto;padding:0 1em;color:#000;background:#fff}\
h1{font-size:16pt}table{border-collapse:collapse;width:100%}th,td{border:1px solid #000;padding:.3em .5em;\
text-align:left;vertical-align:top}thead{display:table-header-group}tr{break-inside:avoid}\
@media print{body{margin:0;max-width:none}@page{margin:2cm}}";

impl Page {
    /// The page as HTML. Every text is escaped.
    #[must_use]
    pub fn html(&self) -> String {
        let mut out = String::from("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">");
        // Writing to a String cannot fail, here and below.
        let _ = write!(out, "<title>{}</title><style>{STYLE}</style></head><body>", escaped(&self.title));
        let _ = write!(out, "<h1>{}</h1>", escaped(&self.title));
        for (what, name) in [("Patient", &self.patient), ("Record kept by", &self.hospital)] {
            if let Some(name) = name {
                let _ = write!(out, "<p>{what}: <strong>{}</strong></p>", escaped(name));
            }
        }
        for remark in &self.remarks {
            let _ = write!(out, "<p>{}</p>", escaped(remark));
        }
        if self.rows.is_empty() {
            let _ = write!(out, "<p>{}</p>", escaped(&self.nothing));
        } else {
            out.push_str("<table><thead>");
            row(&mut out, "th", &self.columns);
            out.push_str("</thead><tbody>");
            self.rows.iter().for_each(|cells| row(&mut out, "td", cells));
            out.push_str("</tbody></table>");
        }
        out.push_str("</body></html>\n");
        out
    }
}

fn row(out: &mut String, cell: &str, texts: &[String]) {
    out.push_str("<tr>");
    for text in texts {
        let _ = write!(out, "<{cell}>{}</{cell}>", escaped(text));
    }
    out.push_str("</tr>");
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
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
