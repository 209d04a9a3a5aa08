//! What somebody types to find a person, taken apart: words of a name, a birth date, numbers.

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The parts of a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Question {
    /// Words of the name.
    pub(super) words: Vec<String>,
    /// The dates that it may mean (`YYYY-MM-DD`): two, if day and month could be exchanged.
    pub(super) born: Vec<String>,
    /// Record numbers, or phone numbers.
    pub(super) numbers: Vec<String>,
}

impl Question {
    pub(super) fn read(text: &str) -> Self {
        let mut question = Self::default();
        let tokens: Vec<&str> = text.split([' ', ',', ';', '\t']).filter(|token| !token.is_empty()).collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let three = tokens.get(at..at + 3).and_then(|three| match three {
                [day, month, year] => in_words(day, month, year),
                _ => None,
            });
            if let Some(date) = three {
                question.born.push(date);
                at += 3;
                continue;
            }
            let dates = in_digits(token);
            if !dates.is_empty() {
                question.born.extend(dates);
            } else if token.bytes().any(|byte| byte.is_ascii_digit()) {
                question.numbers.push((*token).to_owned());
            } else {
                question.words.push((*token).to_owned());
            }
            at += 1;
        }
        question
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty() && self.born.is_empty() && self.numbers.is_empty()
    }
}

fn date(year: &str, month: usize, day: &str) -> Option<String> {
    let day: u8 = day.trim_end_matches('.').parse().ok()?;
    let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
    ((1..=12).contains(&month) && (1..=31).contains(&day) && is_year)
        .then(|| format!("{year}-{month:02}-{day:02}"))
}

/// `4 Mar 1970`.
fn in_words(day: &str, month: &str, year: &str) -> Option<String> {
    let begin: String = month.to_lowercase().chars().take(3).collect();
    let number = MONTHS.iter().position(|known| *known == begin)? + 1;
    date(year, number, day)
}

/// `1970-03-04`, `4.3.1970`, or `4/3/1970` and `3/4/1970`, which mean one another.
fn in_digits(token: &str) -> Vec<String> {
    let parts = |sign: char| token.split(sign).collect::<Vec<_>>();
    if let [year, month, day] = parts('-').as_slice() {
        return date(year, month.parse().unwrap_or(0), day).into_iter().collect();
    }
    if let [day, month, year] = parts('.').as_slice() {
        return date(year, month.parse().unwrap_or(0), day).into_iter().collect();
    }
    if let [one, other, year] = parts('/').as_slice() {
        let both = [(one, other), (other, one)];
        let mut found: Vec<String> =
            both.iter().filter_map(|(day, month)| date(year, month.parse().unwrap_or(0), day)).collect();
        found.dedup();
        return found;
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::Question;

    #[test]
    fn names_dates_and_numbers_are_told_apart() {
        let check = |text: &str, words: &[&str], born: &[&str], numbers: &[&str]| {
            let question = Question::read(text);
            let (words, born, numbers) = [words, born, numbers]
                .map(|list| list.iter().map(|text| (*text).to_owned()).collect())
                .into();
            assert_eq!(question, Question { words, born, numbers }, "{text}");
        };
        check("cole, ann", &["cole", "ann"], &[], &[]);
        check("Cole 1970-03-04", &["Cole"], &["1970-03-04"], &[]);
        check("4.3.1970", &[], &["1970-03-04"], &[]);
        check("4/3/1970", &[], &["1970-03-04", "1970-04-03"], &[]);
        check("25/12/1970", &[], &["1970-12-25"], &[]);
        check("4 March 1970 cole", &["cole"], &["1970-03-04"], &[]);
        check("MRN-0012 555-1234", &[], &[], &["MRN-0012", "555-1234"]);
        check("  ", &[], &[], &[]);
    }
}
