//! The cost of searches: `cargo bench --bench search -- DIRECTORY...` with data directories of one kind and growing size, as
//! `chartward generate` and `chartward import` make them. Values are sampled from the data; every shape is run with each value
//! first cold, then warm. Prints medians in microseconds, the ratio of the largest to the smallest directory, the peak memory of
//! a request, and with `--load` the median in the largest while resources are written to it. `--only=NAME` runs one shape. With
//! `--insurer` the own staff and an insurer that some Consents name run the same searches on the last directory; with `--flat` the
//! kinds of searches that must cost the same however much is stored run on every directory, with their median and their worst.
#![allow(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing
)]
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use chartward::auth::{Party, Role};
use chartward::cli::{Config, House};
use chartward::definitions::r4;
use chartward::model::parse;
use chartward::operations::{Answer, Engine, Headers, Payload, Request, Verb, decode_pairs, encode};
use chartward::search::{Everything, Filter, Reading, ValueContext, parse_query, search_params};
use chartward::store::{At, Report, Repository, Search, View};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Resources per transaction of the load.
const LOAD_LEN: usize = 50;

/// Values per shape.
const SAMPLES: usize = 40;

/// Name, the type whose resources supply values, and the query; `{pointer}` stands for a value at a JSON pointer, cut to so many
/// letters after `#`.
const SHAPES: [(&str, &str, &str); 37] = [
    ("Patient family", "Patient", "Patient?family={/name/0/family}"),
    ("Patient given", "Patient", "Patient?given={/name/0/given/0}"),
    ("Patient name:contains", "Patient", "Patient?name:contains={/name/0/family#4}"),
    ("Patient gender+family", "Patient", "Patient?gender={/gender}&family={/name/0/family}"),
    ("Patient birthdate day", "Patient", "Patient?birthdate={/birthDate}"),
    (
        "Patient birthdate year",
        "Patient",
        "Patient?birthdate=ge{/birthDate#4}-01-01&birthdate=le{/birthDate#4}-12-31",
    ),
    ("Patient identifier", "Patient", "Patient?identifier={/identifier/0/system}|{/identifier/0/value}"),
    ("Observation patient", "Observation", "Observation?patient={/subject/reference}"),
    ("Observation code", "Observation", "Observation?code={/code/coding/0/system}|{/code/coding/0/code}"),
    (
        "Observation code+date",
        "Observation",
        "Observation?code={/code/coding/0/code}&date=ge{/effectiveDateTime#10}&date=le{/effectiveDateTime#10}",
    ),
    ("Observation category list", "Observation", "Observation?category=laboratory,vital-signs"),
    ("Observation value gt", "Observation", "Observation?value-quantity=gt{/valueQuantity/value}"),
    (
        "Observation value unit",
        "Observation",
        "Observation?value-quantity={/valueQuantity/value}|{/valueQuantity/system}|{/valueQuantity/code}",
    ),
    (
        "Observation code$value",
        "Observation",
        "Observation?code-value-quantity={/code/coding/0/code}$gt{/valueQuantity/value}",
    ),
    ("Observation component", "Observation", "Observation?component-code-value-quantity=8480-6$gt150"),
    ("Observation encounter", "Observation", "Observation?encounter={/encounter/reference}"),
    ("Observation performer", "Observation", "Observation?performer={/performer/0/reference}"),
    (
        "Observation patient+code",
        "Observation",
        "Observation?patient={/subject/reference}&code={/code/coding/0/code}",
    ),
    ("Condition patient", "Condition", "Condition?patient={/subject/reference}"),
    ("Condition code", "Condition", "Condition?code={/code/coding/0/code}"),
    ("Condition onset", "Condition", "Condition?onset-date={/onsetDateTime#10}"),
    ("Encounter patient", "Encounter", "Encounter?patient={/subject/reference}"),
    ("Encounter participant", "Encounter", "Encounter?participant={/participant/0/individual/reference}"),
    ("Encounter class list", "Encounter", "Encounter?class=AMB,EMER"),
    ("Encounter date", "Encounter", "Encounter?date={/period/start#10}"),
    ("MedicationRequest patient", "MedicationRequest", "MedicationRequest?patient={/subject/reference}"),
    ("chain patient.family", "Patient", "Observation?patient.family={/name/0/family}"),
    ("chain patient.identifier", "Patient", "Observation?patient.identifier={/identifier/0/value}"),
    ("_has Observation code", "Observation", "Patient?_has:Observation:patient:code={/code/coding/0/code}"),
    ("_include", "Observation", "Observation?encounter={/encounter/reference}&_include=Observation:patient"),
    ("_revinclude", "Encounter", "Encounter?_id={/id}&_revinclude=Observation:encounter"),
    ("_sort=-date", "Observation", "Observation?_sort=-date"),
    ("patient, _sort=-date", "Observation", "Observation?patient={/subject/reference}&_sort=-date"),
    ("count by code", "Observation", "Observation?code={/code/coding/0/code}&_summary=count"),
    ("count, whoever may see", "Observation", "unmasked Observation?code={/code/coding/0/code}"),
    ("_content", "Patient", "Patient?_content={/name/0/family} {/name/0/given/0}"),
    ("code:text", "Condition", "Condition?code:text={/code/coding/0/display#8}"),
];

/// One of each kind of request, to see whether its cost grows with the store. `page 100 of` follows the links first.
const KINDS: [(&str, &str, &str); 18] = [
    ("read", "Patient", "Patient/{/id}?"),
    ("token", "Patient", "Patient?identifier={/identifier/0/system}|{/identifier/0/value}"),
    ("string", "Patient", "Patient?family={/name/0/family#5}"),
    ("reference", "Observation", "Observation?subject={/subject/reference}"),
    ("date", "Encounter", "Encounter?date=ge{/period/start#10}&date=lt{/period/start#7}-28"),
    (
        "patient and code",
        "Observation",
        "Observation?patient={/subject/reference}&code={/code/coding/0/code}",
    ),
    ("code", "Condition", "Condition?code={/code/coding/0/system}|{/code/coding/0/code}"),
    ("chain", "Patient", "Observation?patient.family={/name/0/family}"),
    ("_has", "Condition", "Patient?_has:Condition:patient:code={/code/coding/0/code}"),
    (
        "include",
        "Encounter",
        "Encounter?patient={/subject/reference}&_include=Encounter:patient&_revinclude=Condition:encounter",
    ),
    ("contains", "Patient", "Patient?name:contains={/name/0/family#4}"),
    ("_sort=-date", "Observation", "Observation?_sort=-date"),
    ("_sort=status, all alike", "Observation", "Observation?_sort=status"),
    ("_sort=status, page 100", "Observation", "page 100 of Observation?_sort=status"),
    ("code, _sort=-onset-date", "Condition", "Condition?code={/code/coding/0/code}&_sort=-onset-date"),
    ("count of a code", "Condition", "Condition?code={/code/coding/0/code}&_summary=count"),
    ("count of a type", "Observation", "Observation?_summary=count"),
    ("count of Patients", "Patient", "Patient?_summary=count"),
];

/// The searches of an insurer; values come from the Consents that permit it to see something.
const INSURERS: [(&str, &str); 10] = [
    ("Claim count", "Claim?use=claim&_summary=count"),
    ("Patient _id", "Patient?_id={/patient/reference}"),
    ("Claim patient", "Claim?patient={/patient/reference}"),
    ("ExplanationOfBenefit patient", "ExplanationOfBenefit?patient={/patient/reference}"),
    ("Coverage beneficiary", "Coverage?beneficiary={/patient/reference}"),
    ("Claim all", "Claim?"),
    ("Claim created", "Claim?created=ge2024-03-01"),
    ("Claim patient.gender", "Claim?patient.gender=female"),
    ("EOB _include patient", "ExplanationOfBenefit?_include=ExplanationOfBenefit:patient"),
    ("Patient count", "Patient?_summary=count"),
];

struct Store {
    engine: Engine,
    party: Arc<Party>,
    resources: u64,
    house: House,
}

fn is_given(argument: &str) -> bool {
    std::env::args().any(|given| given == argument)
}

/// An insurer that some of the generator's Consents name.
fn insurer(own: &Party) -> Party {
    Party {
        role: Role::Insurer,
        organization: Some("Organization/acme".to_owned()),
        purposes: vec!["HPAYMT".to_owned()],
        ..own.clone()
    }
}

impl Store {
    fn open(data: PathBuf) -> Self {
        let config = Config { data, ..Config::default() };
        let house = House::open(&config).unwrap();
        let engine = house.engine(&config, "http://127.0.0.1/fhir", false).unwrap();
        let snapshot = house.kv().snapshot(At::Latest).unwrap();
        let repository = Repository::new(&*snapshot);
        let resources = r4().resources().map(|def| repository.estimate_of_type(def).unwrap()).sum();
        drop(snapshot);
        Self { engine, party: Arc::new(Party::open(&config.organization)), resources, house }
    }

    /// Resources of a type, sampled evenly across the store.
    fn samples(&self, type_name: &str) -> Vec<Value> {
        let snapshot = self.house.kv().snapshot(At::Latest).unwrap();
        let repository = Repository::new(&*snapshot);
        let rows = repository.rows_of_type(r4().resource(type_name).unwrap(), None, usize::MAX).unwrap();
        let wanted = SAMPLES * 10;
        let step = (rows.len() / wanted).max(1);
        let read = |row: &u64| {
            let stored = repository.newest(&repository.current_of_row(*row).unwrap().unwrap()).unwrap();
            serde_json::from_str(&stored.text).unwrap()
        };
        rows.iter().step_by(step).take(wanted).map(read).collect()
    }

    /// Runs a query: microseconds of this thread's processor time, and the number of entries.
    fn ask(&self, url: &str) -> (f64, usize) {
        if let Some(url) = url.strip_prefix("unmasked ") {
            return self.count_unmasked(url);
        }
        let (path, query) = url.split_once('?').unwrap();
        let path = path.split('/').map(str::to_owned).collect();
        let request = Request::new(Verb::Get, path, decode_pairs(query));
        let begun = Instant::now();
        let answer = self.send(request);
        let time = begun.elapsed().as_secs_f64() * 1e6;
        (time, answer.body.json().unwrap().matches("\"mode\":\"match\"").count())
    }
}

impl Store {
    fn send(&self, request: Request) -> Answer {
        let line = request.path.join("/");
        self.engine.handle(&self.party, request).unwrap_or_else(|refusal| {
            println!("{line}: {}", refusal.outcome.to_json());
            std::process::exit(1)
        })
    }

    /// The link to the page with this number of a search.
    fn page(&self, url: &str, number: usize) -> Option<String> {
        let mut url = url.to_owned();
        for _ in 1..number {
            let (path, query) = url.split_once('?').unwrap();
            let answer = self.send(Request::new(Verb::Get, vec![path.to_owned()], decode_pairs(query)));
            let bundle: Value = serde_json::from_str(answer.body.json().unwrap()).unwrap();
            let mut links = bundle["link"].as_array().unwrap().iter();
            let next = links.find(|link| link["relation"] == "next")?["url"].as_str().unwrap();
            url = next[next.find("/fhir/").unwrap() + 6..].to_owned();
        }
        Some(url)
    }

    /// The peak memory of a request, in bytes.
    fn peak(&self, url: &str) -> usize {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        self.ask(url);
        MEMORY.peak_usage().saturating_sub(before)
    }

    /// Writes copies of resources in transactions until told to stop.
    fn load(&self, resources: &[Value], ends: &AtomicBool, written: &AtomicUsize) {
        let entry = |resource: &Value| {
            let mut resource = resource.clone();
            // Stored resources have an empty meta.
            resource.as_object_mut().unwrap().shift_remove("meta");
            let url = resource["resourceType"].as_str().unwrap();
            json!({"resource": resource, "request": {"method": "POST", "url": url}})
        };
        for start in (0..resources.len() - LOAD_LEN).cycle() {
            let entries: Vec<Value> = resources[start..start + LOAD_LEN].iter().map(entry).collect();
            let bundle = json!({"resourceType": "Bundle", "type": "transaction", "entry": entries});
            let payload = Payload::Resource(parse(bundle.to_string().into_bytes()).unwrap());
            let (query, headers) = (Vec::new(), Headers::default());
            self.send(Request { headers, payload, ..Request::new(Verb::Post, Vec::new(), query) });
            written.fetch_add(LOAD_LEN, Ordering::Relaxed);
            if ends.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Counts matches without regard to who may see them.
    fn count_unmasked(&self, url: &str) -> (f64, usize) {
        let (name, query) = url.split_once('?').unwrap();
        let def = r4().resource(name).unwrap();
        let begun = Instant::now();
        let asking = ValueContext { now: 0, base_url: "" };
        let reading = Reading { params: search_params(), asking, lenient: false };
        let query = parse_query(&reading, def, &decode_pairs(query)).unwrap();
        let snapshot = self.house.kv().snapshot(At::Latest).unwrap();
        let repository = Repository::new(&*snapshot);
        let view = View::new(&repository, None, &Everything);
        let (filter, report) = (Filter::all(query.filters), Report::default());
        let count = Search::new(&view, def, &filter, &[], &report).unwrap().count().unwrap();
        (begun.elapsed().as_secs_f64() * 1e6, count)
    }
}

/// The query with each `{/json/pointer}`, or its first letters `{/json/pointer#3}`, replaced by the value there in a resource; `None`
/// if the resource lacks such a value.
fn filled(query: &str, resource: &Value) -> Option<String> {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('{') {
        let (place, after) = after.split_once('}')?;
        let (pointer, letters) = place.split_once('#').unwrap_or((place, "999"));
        let value = match resource.pointer(pointer)? {
            Value::String(text) => text.chars().take(letters.parse().unwrap()).collect(),
            other => other.to_string(),
        };
        out.push_str(before);
        out.push_str(&encode(&value));
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// For every shape with values in the largest store: its name, its queries, and its median there.
type Asked = Vec<(&'static str, Vec<String>, f64)>;

fn main() {
    let folders: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(PathBuf::from).collect();
    if folders.is_empty() {
        println!("give data directories, the smallest first: cargo bench --bench search -- DIRECTORY...");
        return;
    }
    let mut stores: Vec<Store> = folders.into_iter().map(Store::open).collect();
    if is_given("--insurer") {
        if let Some(store) = stores.pop() {
            of_an_insurer(store);
        }
        return;
    }
    let sizes: Vec<String> = stores.iter().map(|store| store.resources.to_string()).collect();
    if is_given("--flat") {
        println!("about {} resources; median and worst in us; largest / smallest", sizes.join(", "));
        return flat(&stores);
    }
    println!(
        "about {} resources; medians in us: cold, warm, matches on the page; largest / smallest; peak in kB",
        sizes.join(", ")
    );
    let mut samples: Vec<BTreeMap<&str, Vec<Value>>> = stores.iter().map(|_| BTreeMap::new()).collect();
    let mut asked: Asked = Vec::new();
    let only = std::env::args().find_map(|argument| argument.strip_prefix("--only=").map(str::to_owned));
    for (name, of, query) in
        SHAPES.into_iter().filter(|(name, ..)| only.as_deref().is_none_or(|only| only == *name))
    {
        let mut line = format!("| {name:26} |");
        let mut warm_medians = Vec::new();
        let mut peak = 0;
        for (store, samples) in stores.iter().zip(&mut samples) {
            let resources = samples.entry(of).or_insert_with(|| store.samples(of));
            let mut urls: Vec<String> =
                resources.iter().filter_map(|resource| filled(query, resource)).collect();
            urls.truncate(SAMPLES);
            let urls: Vec<String> = urls.into_iter().map(|url| format!("{url}&_count=10")).collect();
            if urls.is_empty() {
                continue;
            }
            let cold = median(urls.iter().map(|url| store.ask(url).0).collect());
            let mut warm = Vec::new();
            let mut found = Vec::new();
            for url in urls.iter().cycle().take(urls.len() * 3) {
                let (time, matches) = store.ask(url);
                warm.push(time);
                found.push(matches as f64);
            }
            peak = urls.iter().map(|url| store.peak(url)).max().unwrap_or(0);
            let warm = median(warm);
            warm_medians.push(warm);
            line.push_str(&format!(" {cold:8.0} {warm:8.0} {:3.0} |", median(found)));
            if warm_medians.len() == stores.len() {
                asked.push((name, urls, warm));
            }
        }
        let ratio = warm_medians.last().unwrap_or(&0.0) / warm_medians.first().unwrap_or(&1.0);
        println!("{line} {ratio:5.2} | {:6} |", peak / 1_000);
    }
    if let (Some(store), Some(samples)) = (stores.last(), samples.last())
        && is_given("--load")
    {
        under_load(store, &samples["Observation"], &asked);
    }
}

/// The median and the worst of each kind of request on every store, each query three times, the first not counted.
fn flat(stores: &[Store]) {
    for (name, of, query) in KINDS {
        let mut line = format!("| {name} |");
        let mut medians = Vec::new();
        for store in stores {
            let resources = store.samples(of);
            let filled = resources.iter().filter_map(|resource| filled(query, resource));
            let urls = filled.map(|url| {
                let ends = if url.contains("_summary") || url.ends_with('?') { "" } else { "&_count=10" };
                url + ends
            });
            let mut urls: Vec<String> = urls.collect();
            urls.dedup();
            urls.truncate(SAMPLES);
            let urls: Vec<String> = urls
                .into_iter()
                .filter_map(|url| match url.strip_prefix("page 100 of ") {
                    Some(url) => store.page(url, 100),
                    None => Some(url),
                })
                .collect();
            if urls.is_empty() {
                line.push_str("  |");
                continue;
            }
            for url in &urls {
                store.ask(url);
            }
            let times: Vec<f64> =
                urls.iter().cycle().take(urls.len() * 3).map(|url| store.ask(url).0).collect();
            let worst = times.iter().copied().fold(0.0, f64::max);
            medians.push(median(times));
            line.push_str(&format!(" {:.0}, {worst:.0} |", medians[medians.len() - 1]));
        }
        let ratio = medians.last().unwrap_or(&0.0) / medians.first().unwrap_or(&1.0);
        println!("{line} {ratio:.1} |");
    }
}

/// The same searches by the own staff and by an insurer, which sees what some patients' Consents permit.
fn of_an_insurer(mut store: Store) {
    let names_it = |consent: &&Value| {
        let provision = &consent["provision"];
        provision["type"] == "permit"
            && provision["actor"][0]["reference"]["reference"] == "Organization/acme"
    };
    let consents = store.samples("Consent");
    let members: Vec<&Value> = consents.iter().filter(names_it).take(SAMPLES).collect();
    let own = store.party.clone();
    let insurer = Arc::new(insurer(&own));
    println!("medians in us: own staff and insurer, first and again, with matches; insurer / own staff");
    for (name, query) in INSURERS {
        let ends = if query.contains("_summary") { "" } else { "&_count=10" };
        let urls: Vec<String> =
            members.iter().filter_map(|consent| filled(query, consent)).map(|url| url + ends).collect();
        let mut line = format!("| {name:28} |");
        let mut agains = Vec::new();
        for party in [&own, &insurer] {
            store.party = party.clone();
            let (first, _) = store.ask(&urls[0]);
            let mut found = 0;
            let mut times = Vec::new();
            for url in urls.iter().cycle().take(urls.len() * 3) {
                let (time, matches) = store.ask(url);
                times.push(time);
                found = found.max(matches);
            }
            agains.push(median(times));
            line.push_str(&format!(" {first:8.0} | {:8.0} | {found:2} |", agains[agains.len() - 1]));
        }
        println!("{line} {:5.2} |", agains[1] / agains[0]);
    }
}

/// The same queries again while another thread writes.
fn under_load(store: &Store, resources: &[Value], asked: &Asked) {
    let (ends, written) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| store.load(resources, &ends, &written));
        let begun = Instant::now();
        println!("medians in us: alone, under load; under load / alone");
        for (name, urls, alone) in asked {
            let times = urls.iter().cycle().take(urls.len() * 3).map(|url| store.ask(url).0).collect();
            let loaded = median(times);
            println!("| {name:26} | {alone:8.0} | {loaded:8.0} | {:5.2} |", loaded / alone);
        }
        ends.store(true, Ordering::Relaxed);
        let rate = written.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        println!("meanwhile {rate:.0} resources a second were written");
    });
}
