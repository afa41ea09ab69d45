//! Finds out what kind of server it is.
//!
//! Every kind that can tell *this* model is asked, from the most specific to the most generic, and the first
//! that knows the model is remembered: one that has loaded it, or that says in its own way that it has not yet.
//! Nothing else is taken for an answer; a bare 404 or an empty list is what many servers say to what they do not
//! know. While the remembered kind fits, it alone is asked. When it does not fit any more, all are asked again.
//!
//! Order matters where one kind's answer looks like another's: Ollama lists in OpenAI's way what it has not
//! loaded, so it comes first. Where a kind got no answer at all, for want of time or of a password or by an error
//! of the server, the more generic ones are not asked, since they might be wrongly content. `http` and `tcp` are
//! not among them: they take anything for an answer. MLflow has to show its version as well, since its own answer
//! bears no name. gRPC comes last, about a service named like the model, and at once where no HTTP/1 is spoken.

use std::cell::Cell;

use tokio::time::Instant;
use tracing::info;

use super::question::{Named, Question};
use super::word::{Certainty, Failure, Word, certainty};
use super::{
    Kind, Target, Unanswered, Way, kserve_v1, kserve_v2, mlflow, ollama, openai, tensorflow_serving,
    torchserve, triton,
};
use crate::exchange::ExchangeError;
use crate::http_url::HttpUrl;
use crate::one_line;

/// Longest account of what one kind was asked and said, in characters.
const LONGEST_ACCOUNT: usize = 100;

/// The kinds to try, and the one that was found.
#[derive(Debug)]
pub struct Auto {
    model: Named,
    candidates: Vec<Candidate>,
    found: Cell<Option<usize>>,
}

/// A kind, and what tells it from those whose answers look the same.
#[derive(Debug)]
struct Candidate {
    kind: Kind,
    recognised_by: Option<Question>,
}

/// What follows from how one kind was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// This is the kind.
    Found,
    /// It is another kind.
    Another,
    /// It is one that does not speak HTTP/1.
    AnotherProtocol,
    /// There is no telling; asking on would be wrong or no use.
    Stop,
}

impl Auto {
    /// What to try for `model`; over gRPC it is asked about `service`.
    pub fn new(model: Named, service: String) -> Self {
        let http = |name, questions, recognised_by| Candidate {
            kind: Kind { name, way: Way::Http(questions) },
            recognised_by,
        };
        let mut candidates = vec![
            http("triton", triton::questions(&model), Some(triton::recognised_by())),
            http("kserve-v2", kserve_v2::questions(&model), None),
            http("tensorflow-serving", tensorflow_serving::questions(&model), None),
            http("torchserve", torchserve::questions(&model), None),
        ];
        // The others cannot tell a version, so they cannot answer for one.
        if model.version.is_none() {
            candidates.extend([
                http("kserve-v1", kserve_v1::questions(&model), None),
                http("ollama", ollama::questions(&model), None),
                http("openai", openai::questions(&model), None),
                http("mlflow", mlflow::questions(), Some(mlflow::recognised_by())),
                Candidate { kind: Kind { name: "grpc", way: Way::Grpc(service) }, recognised_by: None },
            ]);
        }
        Self { model, candidates, found: Cell::new(None) }
    }

    /// Asks the kind that was found, or all of them.
    pub async fn ask(&self, target: &Target, deadline: Instant) -> Word {
        if let Some(candidate) = self.found.get().and_then(|index| self.candidates.get(index)) {
            match target.ask(&candidate.kind, deadline).await {
                Ok(()) => return candidate.loaded(&target.server),
                Err(unanswered) if still_fits(&unanswered.failure) => {
                    return candidate.unanswered(unanswered, &target.server);
                }
                Err(_) => info!("no longer {} at {}", candidate.kind.name, address(&target.server)),
            }
        }
        self.found.set(None);
        self.search(target, deadline).await
    }

    async fn search(&self, target: &Target, deadline: Instant) -> Word {
        let mut accounts = Vec::with_capacity(self.candidates.len());
        let (mut definite, mut http) = (false, true);
        for (index, candidate) in self.candidates.iter().enumerate() {
            if !http && matches!(candidate.kind.way, Way::Http(_)) {
                continue;
            }
            let answer = candidate.ask(target, deadline).await;
            match next(answer.as_ref().err().map(|unanswered| &unanswered.failure)) {
                Next::Found => {
                    self.found.set(Some(index));
                    info!("{}", candidate.found(&target.server));
                    return match answer {
                        Ok(()) => candidate.loaded(&target.server),
                        Err(unanswered) => candidate.unanswered(unanswered, &target.server),
                    };
                }
                Next::Another => {}
                Next::AnotherProtocol => http = false,
                Next::Stop => {
                    if let Err(unanswered) = answer {
                        return unanswered.into_word();
                    }
                }
            }
            if let Err(unanswered) = answer {
                definite |= certainty(&unanswered.failure) == Certainty::Definite;
                accounts.push(account(candidate.kind.name, &unanswered));
            }
        }
        let asked = format!("auto {}", address(&target.server));
        let got = format!("found no server that knows {}: {}", self.model, accounts.join("; "));
        let got = one_line::of(&got, one_line::LONGEST);
        if definite { Word::NotLoaded { asked, got } } else { Word::Unclear { asked, got } }
    }
}

impl Candidate {
    async fn ask(&self, target: &Target, deadline: Instant) -> Result<(), Unanswered> {
        if let Some(question) = &self.recognised_by {
            target.ask_question(question, deadline).await?;
        }
        target.ask(&self.kind, deadline).await
    }

    fn found(&self, server: &HttpUrl) -> String {
        format!("found {} at {}", self.kind.name, address(server))
    }

    fn loaded(&self, server: &HttpUrl) -> Word {
        Word::Loaded { detail: Some(self.found(server)) }
    }

    fn unanswered(&self, unanswered: Unanswered, server: &HttpUrl) -> Word {
        let got = format!("{} ({})", unanswered.got, self.found(server));
        Unanswered { got, ..unanswered }.into_word()
    }
}

/// The server's address as people write it.
fn address(server: &HttpUrl) -> String {
    server.to_string().trim_end_matches('/').to_owned()
}

/// Whether a kind that was found may still be there although it was not answered with "loaded".
fn still_fits(failure: &Failure) -> bool {
    match failure {
        Failure::NotYet | Failure::Late | Failure::Unasked | Failure::Exchange(_) => true,
        Failure::Status(status) => status.is_server_error() || matches!(status.as_u16(), 401 | 403 | 429),
        Failure::Other | Failure::Garbage => false,
    }
}

/// What follows from how a kind was answered that is only tried.
fn next(failure: Option<&Failure>) -> Next {
    match failure {
        None | Some(Failure::NotYet) => Next::Found,
        Some(Failure::Other | Failure::Garbage) => Next::Another,
        // Some servers say 501 to paths they do not know, and 503 to all while they load.
        Some(Failure::Status(status)) => match status.as_u16() {
            501 | 503 => Next::Another,
            401 | 403 | 429 | 500.. => Next::Stop,
            _ => Next::Another,
        },
        Some(Failure::Exchange(
            ExchangeError::Protocol(..) | ExchangeError::Closed | ExchangeError::Exchange(_),
        )) => Next::AnotherProtocol,
        Some(Failure::Exchange(_) | Failure::Late | Failure::Unasked) => Next::Stop,
    }
}

fn account(kind: &str, unanswered: &Unanswered) -> String {
    let asked = unanswered.asked.split_once("//").map_or("", |(_, rest)| rest);
    let path = asked.find('/').map_or("", |at| &asked[at..]);
    let said = match &unanswered.failure {
        Failure::Status(status) => status.as_u16().to_string(),
        _ => unanswered.got.clone(),
    };
    one_line::of(format!("{kind} {path} {said}").trim(), LONGEST_ACCOUNT)
}

#[cfg(test)]
mod tests {
    use std::io;

    use hyper::StatusCode;

    use super::*;

    fn status(code: u16) -> Failure {
        Failure::Status(StatusCode::from_u16(code).unwrap())
    }

    #[test]
    fn only_a_word_about_the_model_makes_a_kind_and_only_a_readable_one_unmakes_it() {
        let refused = || Failure::Exchange(ExchangeError::Connect(io::ErrorKind::ConnectionRefused.into()));
        let closed = || Failure::Exchange(ExchangeError::Closed);
        // How a kind was answered, what follows while searching, and whether one that was found still fits.
        for (failure, then, fits) in [
            (Failure::NotYet, Next::Found, true),
            (Failure::Other, Next::Another, false),
            (Failure::Garbage, Next::Another, false),
            (status(302), Next::Another, false),
            (status(401), Next::Stop, true),
            (status(404), Next::Another, false),
            (status(501), Next::Another, true),
            (status(503), Next::Another, true),
            (status(429), Next::Stop, true),
            (status(500), Next::Stop, true),
            (status(504), Next::Stop, true),
            (Failure::Late, Next::Stop, true),
            (Failure::Unasked, Next::Stop, true),
            (refused(), Next::Stop, true),
            (closed(), Next::AnotherProtocol, true),
        ] {
            assert_eq!((next(Some(&failure)), still_fits(&failure)), (then, fits), "{failure:?}");
        }
        assert_eq!(next(None), Next::Found);
    }
}
