//! The table of failures: what each says where, word by word, but for what differs from run to run.

use regex_lite::Regex;

use super::failures::Failure;

/// What is said of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// The last words of the container that ended, as the kubelet has them.
    pub termination: String,
    /// The reason at `/health`.
    pub health: String,
    /// Argo CD, of the Pod.
    pub pod: String,
    /// Argo CD, of the Deployment.
    pub deployment: String,
    /// Argo CD, of a sync with the preflight.
    pub sync: String,
    /// The alerts that fire.
    pub alerts: String,
}

/// What differs from run to run, and what stands for it.
const VARIABLE: [(&str, &str); 15] = [
    (r"used: limits.memory=[0-9A-Za-z]+", "used: limits.memory=…"),
    (r"model-server-[0-9a-z]+-[0-9a-z]{5}", "model-server-…"),
    (r" \(attempt \d+ failed, fetching again\)", ""),
    (r" \(attempt \d+ failed, retrying\)", " (attempt n failed, retrying)"),
    (r"\(restarts: \d+(?:, loading again)?\)", "(restarts: n)"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "…"),
    // The kubelet says one or the other in turns.
    (r#"(?:ImagePullBackOff: Back-off pulling image "[^"]*": )?ErrImagePull: "#, "ErrImagePull: "),
    (r"failed to do request: .*", "failed to do request: …"),
    (r"request id [0-9A-Z]+", "request id …"),
    (r"after \d+ attempts?, \d+ s into the run", "after n attempts, … s into the run"),
    (r"back-off \d+m?\d*s", "back-off …"),
    (r"_[0-9a-z-]+\([0-9a-f-]{36}\)", "_…"),
    (r"\b\d+ attempts? in [0-9.]+ s", "n attempts in … s"),
    (r"\b10\.96\.\d+\.\d+\b", "10.96.…"),
    (r"container with name \S+ in pod \S+", "container in pod …"),
];

impl Said {
    /// The same for every run.
    pub fn normalized(self) -> Self {
        let replaced = |text: String| {
            let text = VARIABLE.iter().fold(text, |text, (pattern, standing)| {
                Regex::new(pattern).unwrap().replace_all(&text, *standing).into_owned()
            });
            text.replace('\n', " ").trim().to_owned()
        };
        Self {
            termination: replaced(self.termination),
            health: replaced(self.health),
            pod: replaced(self.pod),
            deployment: replaced(self.deployment),
            sync: replaced(self.sync),
            alerts: replaced(self.alerts),
        }
    }

    /// All of it, to look something up in.
    pub fn all(&self) -> String {
        [&self.termination, &self.health, &self.pod, &self.deployment, &self.sync]
            .map(String::as_str)
            .join("\n")
    }
}

/// The page: a section for each failure, since the words are long.
pub fn page(said: &[(&Failure, Said)]) -> String {
    said.iter().fold(HEAD.to_owned(), |page, (failure, said)| page + "\n" + &section(failure, said))
}

/// What the page has of one failure.
pub fn section(failure: &Failure, said: &Said) -> String {
    let mut section = format!("## {}\n\n| where | words |\n|---|---|\n", capitalized(failure.name));
    for (place, words) in [
        ("termination message", &said.termination),
        ("`/health`", &said.health),
        ("Pod, in Argo CD", &said.pod),
        ("Deployment, in Argo CD", &said.deployment),
        ("sync, with a preflight", &said.sync),
        ("alerts", &said.alerts),
    ] {
        let words = if words.is_empty() { "–".to_owned() } else { words.replace('|', "\\|") };
        section += &format!("| {place} | {words} |\n");
    }
    section
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

const HEAD: &str = "\
# What it says when it fails

Each failure was brought about on a real Kubernetes node, with the service of `tests/e2e/model`, and this is what was said, where. It is
written by a test, which finds the same words again: `PLIMSOLL_BLESS=1 cargo test -p plimsoll-tests every_failure`.
Names of Pods, times and counts are left out. Deployments are with reports
(`components/status-reporting/deployment`); a Pod that reports on itself has the words of `/health` too. Alerts are those of `monitoring/`,
when their time has come.
";
