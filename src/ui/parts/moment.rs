//! Dates and times as people read them: "4 Mar 2026, 10:30". A date without a time is never moved to another zone, and a time is
//! shown as it was recorded.
use maud::{Markup, html};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A FHIR date, dateTime or instant; text that is none stays as it is.
pub(in super::super) fn moment(text: &str) -> Markup {
    match read(text) {
        Some(words) => html! { time datetime=(text) { (words) } },
        None => html! { (text) },
    }
}

/// The words for a date or time; `None` if the text is none.
pub(in super::super) fn read(text: &str) -> Option<String> {
    let (date, time) = text.split_once('T').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.split('-');
    let year =
        parts.next().filter(|year| year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit()))?;
    let Some(month) = parts.next() else { return Some(year.to_owned()) };
    let month = MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?)?;
    let Some(day) = parts.next() else { return Some(format!("{month} {year}")) };
    let day = day.parse::<u8>().ok().filter(|day| (1..=31).contains(day))?;
    let Some(time) = time else { return Some(format!("{day} {month} {year}")) };
    let clock = time.get(..5)?;
    let zone = if time.ends_with('Z') { " UTC" } else { "" };
    Some(format!("{day} {month} {year}, {clock}{zone}"))
}

/// Whole years between two dates (`YYYY-MM-DD`), such as an age.
pub(in super::super) fn years_between(from: &str, to: &str) -> Option<u32> {
    let parts = |text: &str| -> Option<(u32, u32, u32)> {
        let mut parts = text.get(..10)?.split('-').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??, parts.next()??))
    };
    let ((year, month, day), (then, at_month, at_day)) = (parts(from)?, parts(to)?);
    then.checked_sub(year)?.checked_sub(u32::from((at_month, at_day) < (month, day)))
}

#[cfg(test)]
mod tests {
    use super::{read, years_between};

    #[test]
    fn dates_are_read_as_they_stand() {
        let check =
            |text: &str, expected: Option<&str>| assert_eq!(read(text).as_deref(), expected, "{text}");
        check("2026", Some("2026"));
        check("2026-03", Some("Mar 2026"));
        check("2026-03-04", Some("4 Mar 2026"));
        check("2026-03-04T23:30:00+11:00", Some("4 Mar 2026, 23:30"));
        check("2026-03-04T23:30:00.123Z", Some("4 Mar 2026, 23:30 UTC"));
        for wrong in ["", "yesterday", "2026-13-01", "2026-03-45", "26-03-04", "<b>"] {
            check(wrong, None);
        }
    }

    #[test]
    fn an_age_grows_on_the_birthday() {
        let check = |from: &str, to: &str, expected: Option<u32>| {
            assert_eq!(years_between(from, to), expected, "{from} {to}");
        };
        check("2000-02-29", "2026-02-28", Some(25));
        check("2000-02-29", "2026-03-01", Some(26));
        check("2026-03-01", "2026-03-01", Some(0));
        check("2027-03-01", "2026-03-01", None);
        check("2000", "2026-03-01", None);
    }
}
