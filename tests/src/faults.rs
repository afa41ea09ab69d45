//! Everything that a store, a network or somebody on the way can do to an answer, as a table.
//!
//! A [`Case`] says what is damaged, how often, and what must come of it: the exit code and the words. [`run()`] has the
//! real fetcher bring a model of several files from a real store through a [proxy](crate::fault_proxy) that does the
//! damage. Whatever the case, a watcher looks all the time that nothing but the right bytes is ever at a final name, and
//! no receipt beside anything less than the whole model; and after a failure the fault is removed and the same volume
//! filled to its end. The tables are in the modules below, one per kind of fault.

use crate::fault_proxy::{Answer, tcp::TcpDamage};
use crate::fault_server::Request;

mod certificates;
mod connections;
mod content;
mod documents;
pub(crate) mod fetch;
mod listings;
mod mlflow;
mod ranges;
mod redirects;
mod run;
mod statuses;
mod tls;
pub(crate) mod watcher;
mod world;

pub use fetch::{End, Run};
pub use run::{Report, run};
pub use watcher::Seen;
pub use world::{Source, World};

/// Which requests a fault is for.
pub type Aim = fn(&Request) -> bool;
/// What is made of an answer.
pub type Change = fn(&World, &Request, Answer) -> Answer;

/// How often a fault comes, of the requests that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    /// With the first so many.
    First(usize),
    /// With all.
    Every,
    /// With all but the first so many.
    After(usize),
}

impl Often {
    /// Whether it comes with request `number`, from 0.
    pub fn strikes(self, number: usize) -> bool {
        match self {
            Self::First(count) => number < count,
            Self::Every => true,
            Self::After(count) => number >= count,
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug)]
pub enum Harm {
    /// Answers are changed.
    Answers {
        /// Which.
        aim: Aim,
        /// How often.
        often: Often,
        /// To what.
        change: Change,
    },
    /// Connections are broken, below TLS. The function gets the number of each.
    Connections(fn(u64) -> TcpDamage),
    /// Nothing: the source itself is what is wrong.
    Source,
}

/// A fault and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name, which is that of its test.
    pub name: String,
    /// Which kind of fault it is, for the document.
    pub group: &'static str,
    /// What is damaged, for the document.
    pub fault: &'static str,
    /// What the fetcher makes of it, for the document.
    pub happens: &'static str,
    /// Where the model is.
    pub source: Source,
    /// What is done.
    pub harm: Harm,
    /// The exit code.
    pub code: i32,
    /// What must be said: in the termination message after a failure, in the log otherwise.
    pub words: Vec<&'static str>,
    /// Settings beside the usual ones.
    pub settings: Vec<(&'static str, &'static str)>,
    /// Bytes that the run without the fault must not fetch again, at least.
    pub keeps: u64,
    /// Whether the store itself is changed, which others must not see.
    pub alone: bool,
}

impl Case {
    fn new(source: Source, name: &str, aim: Aim, often: Often, change: Change) -> Self {
        Self::of(source, name, Harm::Answers { aim, often, change })
    }

    fn of(source: Source, name: &str, harm: Harm) -> Self {
        Self {
            name: format!("{}_{name}", source.prefix()),
            group: "",
            fault: "",
            happens: "",
            source,
            harm,
            code: 0,
            words: Vec::new(),
            settings: Vec::new(),
            keeps: 0,
            alone: false,
        }
    }

    /// What it is and what comes of it, in words for the document.
    fn told(self, fault: &'static str, happens: &'static str) -> Self {
        Self { fault, happens, ..self }
    }

    fn ends(self, code: i32, words: &[&'static str]) -> Self {
        Self { code, words: words.to_vec(), ..self }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.settings.push((name, value));
        self
    }

    fn keeping(self, keeps: u64) -> Self {
        Self { keeps, ..self }
    }

    fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
}

/// The usual two: an object store and a web server, both with digests beside the weights.
const BOTH: [Source; 2] = [Source::S3Catalog, Source::HttpCatalog];

/// Requests for the large file, but for looking at it.
fn weights(request: &Request) -> bool {
    request.method == "GET" && request.target.contains(world::LARGE_FILE)
}

/// Requests for a range of the large file that is not its beginning.
fn later_weights(request: &Request) -> bool {
    weights(request) && request.offset().is_some_and(|offset| offset >= 2_000_000)
}

/// Requests for the descriptor of a version.
fn descriptor(request: &Request) -> bool {
    request.method == "GET" && request.target.contains("model.yaml")
}

/// Requests for a listing of a bucket.
fn listing(request: &Request) -> bool {
    request.target.contains("list-type=2")
}

/// Every case there is.
pub fn cases() -> Vec<Case> {
    let groups: [(&'static str, Vec<Case>); 9] = [
        ("Connections", connections::cases()),
        ("Ranges and lengths", ranges::cases()),
        ("Statuses", statuses::cases()),
        ("Content", content::cases()),
        ("Documents", documents::cases()),
        ("Listings", listings::cases()),
        ("Redirects", redirects::cases()),
        ("TLS", tls::cases()),
        ("MLflow", mlflow::cases()),
    ];
    let named =
        |(group, cases): (&'static str, Vec<Case>)| cases.into_iter().map(move |case| Case { group, ..case });
    groups.into_iter().flat_map(named).collect()
}

/// The rows of the document, each with the kind of fault that it belongs to. Cases that differ in their source alone
/// share one.
pub fn rows() -> Vec<(&'static str, String)> {
    let mut groups: Vec<Vec<Case>> = Vec::new();
    let alike = |a: &Case, b: &Case| {
        (a.group, a.fault, a.happens, a.code, &a.words) == (b.group, b.fault, b.happens, b.code, &b.words)
    };
    for case in cases() {
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| alike(first, &case))) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups.iter().filter_map(|group| Some((group.first()?.group, row(group)?))).collect()
}

fn row(cases: &[Case]) -> Option<String> {
    let first = cases.first()?;
    let each = |part: &dyn Fn(&Case) -> String| cases.iter().map(part).collect::<Vec<_>>().join(", ");
    let sources = each(&|case| case.source.shown().to_owned());
    let tests = each(&|case| format!("[`{}`](../tests/it/fault_table.rs)", case.name));
    let words = first.words.iter().map(|words| format!("`{}`", words.trim())).collect::<Vec<_>>().join(" … ");
    let (fault, happens, code) = (first.fault, first.happens, first.code);
    Some(format!("| {fault} | {sources} | {happens} | {code} | {words} | {tests} |"))
}
