//! Who to be for a web server: headers for the address that was asked for, and the names and passwords in a `.netrc`.
//!
//! Headers may be secrets of any kind, so they are for one origin and follow no redirect away from it. KServe gives them in
//! a variable that is called by the host, with `-headers` behind it, as JSON. A `.netrc` says by itself for which hosts it is.
//! <https://kserve.github.io/website/docs/model-serving/storage/providers/uri>

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::{Origin, Url};

use super::Environment;
use super::file::{Place, UnreadableCredentials, read};
use crate::scrub::remember_login;

/// What the environment says, before any file is looked at.
#[derive(Clone, Default)]
pub struct HttpSettings {
    headers: Option<(Origin, Headers)>,
    netrc: Option<Place>,
}

#[derive(Clone)]
enum Headers {
    Given(HeaderMap),
    /// `name: value` in each line.
    File(PathBuf),
}

/// What goes with requests to web servers.
#[derive(Clone, Default)]
pub struct HttpCredentials {
    headers: Option<(Origin, HeaderMap)>,
    machines: Vec<Machine>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Machine {
    /// Nothing for `default`, which is for every host.
    host: Option<String>,
    login: String,
    password: String,
}

impl HttpSettings {
    /// Reads the headers for the web server that was asked for, those `given` in lines or by the path of a file or KServe's,
    /// and where a `.netrc` may be: `NETRC`, or the home folder.
    ///
    /// # Errors
    /// Names the variable whose headers are none, and not what is in it.
    pub fn from_environment(
        given: Option<&str>,
        asked: Option<&Url>,
        environment: Environment<'_>,
    ) -> Result<Self, String> {
        let home = || environment("HOME").map(|home| Place::AtHome(Path::new(&home).join(".netrc")));
        let netrc = environment("NETRC").map(|path| Place::Named(path.into())).or_else(home);
        let Some(url) = asked else { return Ok(Self { headers: None, netrc }) };
        let of_kserve = format!("{}-headers", url.host_str().unwrap_or_default());
        let none = |variable: &str| format!("{variable} holds no headers");
        let headers = match (given, environment(&of_kserve)) {
            (Some(path), _) if path.starts_with('/') => Some(Headers::File(path.into())),
            (Some(text), _) => {
                let headers = lines(text).ok_or_else(|| none("--http-headers (FETCHER_HTTP_HEADERS)"))?;
                Some(Headers::Given(headers))
            }
            (None, Some(text)) => Some(Headers::Given(object(&text).ok_or_else(|| none(&of_kserve))?)),
            (None, None) => None,
        };
        Ok(Self { headers: headers.map(|headers| (url.origin(), headers)), netrc })
    }

    /// Looks at the files that there are.
    ///
    /// # Errors
    /// Names the file that cannot be read. There need not be a `.netrc`.
    pub fn open(&self) -> Result<HttpCredentials, UnreadableCredentials> {
        let netrc = self.netrc.as_ref().map(Place::read).transpose()?.flatten().unwrap_or_default();
        let headers = match &self.headers {
            None => None,
            Some((origin, Headers::Given(headers))) => Some((origin.clone(), headers.clone())),
            Some((origin, Headers::File(path))) => {
                let text = read(path)?;
                let source = io::Error::new(io::ErrorKind::InvalidData, "it holds no headers");
                let none = UnreadableCredentials { path: path.clone(), source };
                let headers = lines(&text).ok_or(none)?;
                headers.values().filter_map(|value| value.to_str().ok()).for_each(|value| {
                    remember_login(None, value);
                });
                Some((origin.clone(), headers))
            }
        };
        let machines = machines(&netrc);
        machines.iter().for_each(|machine| remember_login(Some(&machine.login), &machine.password));
        Ok(HttpCredentials { headers, machines })
    }
}

impl HttpCredentials {
    /// Whether requests to an address bear headers that must not come to another server.
    pub fn are_bound_to(&self, url: &Url) -> bool {
        self.headers.as_ref().is_some_and(|(origin, _)| *origin == url.origin())
    }

    /// Adds the headers to a request.
    pub fn apply(&self, request: RequestBuilder, url: &Url) -> RequestBuilder {
        if let Some((_, headers)) = self.headers.as_ref().filter(|_| self.are_bound_to(url)) {
            return request.headers(headers.clone());
        }
        let is_for =
            |machine: &&Machine| machine.host.as_deref().is_none_or(|host| url.host_str() == Some(host));
        match self.machines.iter().find(is_for) {
            Some(Machine { login, password, .. }) => request.basic_auth(login, Some(password)),
            None => request,
        }
    }
}

/// `name: value` in each line.
fn lines(text: &str) -> Option<HeaderMap> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(':').and_then(|(name, value)| header(name.trim(), value.trim())))
        .collect()
}

/// Names and values, as KServe has them.
pub(super) fn object(text: &str) -> Option<HeaderMap> {
    let pairs: BTreeMap<String, String> = serde_json::from_str(text).ok()?;
    pairs.iter().map(|(name, value)| header(name, value)).collect()
}

fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value: HeaderValue = value.parse().ok()?;
    value.set_sensitive(true);
    Some((name.parse().ok()?, value))
}

/// The machines of a `.netrc`, without its macros.
fn machines(text: &str) -> Vec<Machine> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let mut words = lines.flat_map(str::split_whitespace);
    let mut machines: Vec<Machine> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                let host = words.next().map(str::to_owned);
                machines.push(Machine { host, ..Machine::default() });
            }
            "default" => machines.push(Machine::default()),
            // A macro ends the part that is of use to anybody but ftp.
            "macdef" => break,
            _ => {
                let value = words.next().unwrap_or_default().to_owned();
                match (word, machines.last_mut()) {
                    ("login", Some(machine)) => machine.login = value,
                    ("password", Some(machine)) => machine.password = value,
                    _ => {}
                }
            }
        }
    }
    machines
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings").field("netrc", &self.netrc).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn headers_are_for_the_server_that_was_asked_for() {
        let asked = url("https://models.example.com/a/model.bin");
        let value = |name: &str| match name {
            "models.example.com-headers" => Some(r#"{"x-api-key": "c4n4ry"}"#.to_owned()),
            _ => None,
        };
        let settings = HttpSettings::from_environment(None, Some(&asked), &value).unwrap();
        assert!(!format!("{settings:?}").contains("c4n4ry"));
        let credentials = settings.open().map_err(drop).unwrap();
        assert!(
            credentials.are_bound_to(&asked)
                && credentials.are_bound_to(&url("https://models.example.com/b"))
        );
        for other in
            ["https://example.com/", "http://models.example.com/", "https://models.example.com:8443/"]
        {
            assert!(!credentials.are_bound_to(&url(other)), "{other}");
        }
        let given = |text: &str| HttpSettings::from_environment(Some(text), Some(&asked), &|_| None);
        let credentials = given("a: b\nAuthorization: Bearer t").unwrap().open().map_err(drop).unwrap();
        assert_eq!(credentials.headers.unwrap().1.len(), 2);
        let refused = given("c4n4ry").map(drop).unwrap_err();
        assert_eq!(refused, "--http-headers (FETCHER_HTTP_HEADERS) holds no headers");
        let error = given("/nowhere").unwrap().open().map(drop).unwrap_err();
        assert_eq!(
            (error.path.to_str().unwrap(), error.source.kind()),
            ("/nowhere", io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn a_netrc_says_who_to_be_where() {
        let text = "# who\nmachine a.example login me password one\nmachine b.example\n  login you\n  password two\n\
                    default login all password three\nmacdef init\nmachine c login x password y";
        let machine = |host: Option<&str>, login: &str, password: &str| Machine {
            host: host.map(str::to_owned),
            login: login.to_owned(),
            password: password.to_owned(),
        };
        let expected = [
            machine(Some("a.example"), "me", "one"),
            machine(Some("b.example"), "you", "two"),
            machine(None, "all", "three"),
        ];
        assert_eq!(machines(text), expected);
        assert!(machines("login x").is_empty());
    }
}
