//! The page of the box, and the page of what it finds. What was asked stands in no address: the address has it sealed.
use std::collections::BTreeSet;

use maud::{Markup, html};

use crate::model::{Node, Tree};
use crate::operations::decode_pairs;
use crate::search::fold;

use super::super::asking::{Asking, next_query, plain_value};
use super::super::handled::Handled;
use super::super::parts::{form, moment, name_of, record_number, sentence, word};
use super::super::problem::Problem;
use super::super::shown::{Reply, Shown};
use super::super::visit::Visit;
use super::near::begins_nearly;
use super::question::Question;

/// How many people a page shows.
const PAGE_LEN: &str = "20";
/// How many people are looked at for one whose name is nearly as asked.
const NEAR_LEN: &str = "100";
/// By how many of its last digits a phone number is found.
const PHONE_DIGITS_MIN: usize = 4;
const PHONE_DIGITS_MAX: usize = 7;
/// Shorter words must be right.
const NEAR_WORD_MIN: usize = 4;

/// The empty box.
pub(in super::super) fn start(visit: Visit) -> Handled {
    let shown = Shown::new("Whom do you look for?", the_box(&visit, ""));
    Box::pin(async move { Ok(Reply::Shown(shown)) })
}

fn the_box(visit: &Visit, text: &str) -> Markup {
    form(
        visit,
        "/find",
        html! {
            label for="q" { "Name, birth date, record number or phone" }
            input #q type="search" name="q" value=(text) autocomplete="off" required maxlength="200" autofocus;
            button type="submit" { "Find" }
        },
    )
}

/// Takes what was typed, and goes on to an address that has it sealed.
pub(in super::super) fn ask(visit: Visit) -> Handled {
    Box::pin(async move {
        let sealed = visit.ui.engine.authorization().seal_for(&visit.cookie, "find", visit.field("q"))?;
        Ok(Reply::GoTo { path: format!("/find/{sealed}"), cookie: None, forgets: false })
    })
}

/// People who were found.
#[derive(Default)]
struct People {
    trees: Vec<Tree>,
}

impl People {
    /// Each person once, in the order of the searches.
    fn each(&self) -> Vec<Node<'_>> {
        let mut known = BTreeSet::new();
        let entries = self.trees.iter().flat_map(|tree| tree.root().items_at("entry"));
        let people = entries.filter_map(|entry| entry.get("resource"));
        people
            .filter(|person| person.str_at("resourceType") == Some("Patient"))
            .filter(|person| person.str_at("id").is_some_and(|id| known.insert(id.to_owned())))
            .collect()
    }

    /// How many there are, if one search found them all.
    fn total(&self) -> Option<&str> {
        match self.trees.as_slice() {
            [tree] => Some(tree.root().get("total")?.raw()),
            _ => None,
        }
    }

    fn next(&self) -> Option<&str> {
        let [tree] = self.trees.as_slice() else { return None };
        next_query(tree.root())
    }
}

/// What was found.
pub(in super::super) fn found(visit: Visit) -> Handled {
    Box::pin(async move {
        let sealed = visit.path.first().map(String::as_str).unwrap_or_default();
        let authorization = visit.ui.engine.authorization();
        let text = authorization.open_for(&visit.cookie, "find", sealed).ok_or(Problem::NotFound)?;
        let asking = visit.asking()?;
        let (text, more) = text.split_once('\n').unwrap_or((&text, ""));
        let question = Question::read(text);
        let (mut people, mut nearly) = (People::default(), false);
        if !more.is_empty() {
            people.trees.push(search(&asking, decode_pairs(more)).await?);
        } else if !question.is_empty() {
            for query in queries(&question) {
                people.trees.push(search(&asking, query).await?);
            }
            people.trees.retain(|tree| tree.root().get("entry").is_some());
        }
        let mut shown = people.each();
        let near;
        if shown.is_empty() && more.is_empty() {
            near = nearby(&asking, &question).await?;
            shown = near.each().into_iter().filter(|person| is_nearly(*person, &question)).collect();
            nearly = !shown.is_empty();
        }
        let next = people.next().map(|query| {
            visit.ui.engine.authorization().seal_for(&visit.cookie, "find", &format!("{text}\n{query}"))
        });
        let body = html! {
            (the_box(&visit, text))
            @if shown.is_empty() {
                (sentence("Nobody whom you may see is found. Try fewer words, or the record number alone."))
            } @else {
                @if nearly { (sentence("Nobody has exactly this name. These names are nearly the same:")) }
                (list(&shown, people.total().filter(|_| !nearly)))
            }
            @if let Some(next) = next.transpose()? {
                nav.pages aria-label="Pages" { a rel="next" href={ "/find/" (next) } { "More people" } }
            }
        };
        Ok(Reply::Shown(Shown::new("Whom do you look for?", body)))
    })
}

async fn search(asking: &Asking, query: Vec<(String, String)>) -> Result<Tree, Problem> {
    asking.resource(&["Patient"], query).await
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), plain_value(value))
}

/// What all searches of a question have in common: the words but one, and the birth date.
fn common(question: &Question, without: Option<usize>, count: &str) -> Vec<(String, String)> {
    let others = question.words.iter().enumerate().filter(|(number, _)| Some(*number) != without);
    let mut query: Vec<(String, String)> = others.map(|(_, text)| pair("name", text)).collect();
    if !question.born.is_empty() {
        query.push(("birthdate".to_owned(), question.born.join(",")));
    }
    query.push(pair("_count", count));
    query
}

/// The searches for a question: a number may be a record number or a phone.
fn queries(question: &Question) -> Vec<Vec<(String, String)>> {
    let own = || {
        let mut query = common(question, None, PAGE_LEN);
        query.push(pair("_total", "accurate"));
        query
    };
    if question.numbers.is_empty() {
        return vec![own()];
    }
    let numbers = question.numbers.iter().map(|number| pair("identifier", number));
    let mut queries = vec![own().into_iter().chain(numbers).collect()];
    // People write phone numbers with and without spaces, signs and the code of the country.
    let digits: Vec<char> =
        question.numbers.iter().flat_map(|number| number.chars()).filter(char::is_ascii_digit).collect();
    let last = digits.get(digits.len().saturating_sub(PHONE_DIGITS_MAX)..).unwrap_or_default();
    if last.len() >= PHONE_DIGITS_MIN {
        let phone = pair("phone-digits:contains", &last.iter().collect::<String>());
        queries.push(own().into_iter().chain([phone]).collect());
    }
    queries
}

/// People one of whose names begins or ends like a word of the question.
async fn nearby(asking: &Asking, question: &Question) -> Result<People, Problem> {
    let mut people = People::default();
    if !question.numbers.is_empty() {
        return Ok(people);
    }
    for (number, text) in question.words.iter().enumerate() {
        let letters: Vec<char> = fold(text).chars().collect();
        if letters.len() < NEAR_WORD_MIN {
            continue;
        }
        // A slip spoils one half of the word at most, or two letters at their border.
        let (first, second) = letters.split_at(letters.len() / 2);
        let second = second.get(usize::from(second.len() > 2)..).unwrap_or_default();
        let halves = [("name", first.iter().collect::<String>()), ("name:contains", second.iter().collect())];
        for (parameter, half) in halves {
            let mut query = common(question, Some(number), NEAR_LEN);
            query.push(pair(parameter, &half));
            people.trees.push(search(asking, query).await?);
        }
    }
    Ok(people)
}

/// Whether each word of the question is nearly the begin of one of the person's names.
fn is_nearly(person: Node<'_>, question: &Question) -> bool {
    let texts = person.items_at("name").flat_map(Node::subtree).filter_map(Node::as_str);
    let names: Vec<String> =
        texts.flat_map(|text| fold(text).split(' ').map(str::to_owned).collect::<Vec<_>>()).collect();
    question.words.iter().all(|text| {
        let text = fold(text);
        names.iter().any(|name| begins_nearly(name, &text))
    })
}

fn list(people: &[Node<'_>], total: Option<&str>) -> Markup {
    let one = people.len() == 1;
    html! {
        table.list {
            caption {
                @match total {
                    Some(total) if total != people.len().to_string() => { (people.len()) " of " (total) " people" },
                    _ => { (people.len()) @if one { " person" } @else { " people" } },
                }
            }
            thead { tr { th scope="col" { "Name" } th scope="col" { "Born" } th scope="col" { "Sex" } th scope="col" { "Record number" } } }
            tbody {
                @for person in people {
                    tr {
                        td data-label="Name" {
                            a href={ "/p/" (person.str_at("id").unwrap_or_default()) } {
                                (name_of(*person).unwrap_or_else(|| "Name not recorded".to_owned()))
                            }
                        }
                        td data-label="Born" { @if let Some(born) = person.str_at("birthDate") { (moment(born)) } }
                        td data-label="Sex" { (person.str_at("gender").map(word).unwrap_or_default()) }
                        td data-label="Record number" { (record_number(*person).unwrap_or_default()) }
                    }
                }
            }
        }
    }
}
