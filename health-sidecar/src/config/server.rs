//! The settings about the model server: which kind it is, and what that kind is asked.
//!
//! A setting that the kind has no use for is an error, since whoever set it believes that it does something.

use std::time::Duration;

use hyper::{Method, StatusCode};

use super::{ConfigError, Setting, invalid, name, parsed, url};
use crate::cli::ServeFlags;
use crate::http_headers::Headers;
use crate::http_url::HttpUrl;
use crate::probe::auto::Auto;
use crate::probe::http::{self, BodyCondition, Condition};
use crate::probe::question::{Named, Question};
use crate::probe::{
    Asks, Kind, Probe, Target, Way, kserve_v1, kserve_v2, mlflow, ollama, openai, tensorflow_serving,
    torchserve, triton,
};

/// Longest body of a request that is configured.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Most statuses that mean "loaded".
const MAX_STATUSES: usize = 16;

/// What a kind of server can be told.
struct Presets {
    name: &'static str,
    /// It is asked about a model by name.
    by_name: bool,
    /// It tells the version.
    versions: bool,
}

/// Every kind there is.
const KINDS: [Presets; 12] = [
    kind("auto", true, true),
    kind("kserve-v2", true, true),
    kind("kserve-v1", true, false),
    kind("triton", true, true),
    kind("tensorflow-serving", true, true),
    kind("torchserve", true, true),
    kind("openai", true, false),
    kind("ollama", true, false),
    kind("mlflow", false, false),
    kind("http", false, false),
    kind("grpc", false, false),
    kind("tcp", false, false),
];

const fn kind(name: &'static str, by_name: bool, versions: bool) -> Presets {
    Presets { name, by_name, versions }
}

/// What to ask the model server.
pub(super) fn probe(flags: &ServeFlags, timeout: Duration) -> Result<Probe, ConfigError> {
    let given = flags.server.as_deref().ok_or(ConfigError::Missing {
        setting: Setting("HEALTH_SERVER"),
        hint: "set it to `auto`, or to the kind of model server: each says \"loaded\" in its own way",
    })?;
    let kind = KINDS.iter().find(|kind| kind.name == given).ok_or_else(|| {
        let names = KINDS.map(|kind| format!("`{}`", kind.name)).join(", ");
        invalid(Setting("HEALTH_SERVER"), &format!("one of {names}"), given)
    })?;
    refuse_idle(kind, flags)?;
    let server = url(Setting("HEALTH_SERVER_URL"), &flags.server_url)?;
    let headers = match &flags.http_headers {
        None => Headers::default(),
        Some(text) if text.trim().is_empty() => {
            return Err(invalid(Setting("HEALTH_HTTP_HEADERS"), "a header or a file", ""));
        }
        Some(text) => Headers::new(text)
            .map_err(|source| ConfigError::Headers { setting: Setting("HEALTH_HTTP_HEADERS"), source })?,
    };
    let asks = asks(kind, flags, &server)?;
    Ok(Probe { target: Target { server, headers, timeout }, asks })
}

fn refuse_idle(kind: &Presets, flags: &ServeFlags) -> Result<(), ConfigError> {
    let http = kind.name == "http";
    let texts = [
        (
            "HEALTH_SERVER_MODEL",
            &flags.server_model,
            kind.by_name,
            "a HEALTH_SERVER that is asked about a model by name",
        ),
        (
            "HEALTH_SERVER_MODEL_VERSION",
            &flags.server_model_version,
            kind.versions,
            "a HEALTH_SERVER that tells versions",
        ),
        ("HEALTH_HTTP_METHOD", &flags.http_method, http, "HEALTH_SERVER=http"),
        ("HEALTH_HTTP_PATH", &flags.http_path, http, "HEALTH_SERVER=http"),
        ("HEALTH_HTTP_BODY", &flags.http_body, http, "HEALTH_SERVER=http"),
        ("HEALTH_HTTP_STATUS", &flags.http_status, http, "HEALTH_SERVER=http"),
        ("HEALTH_HTTP_POINTER", &flags.http_pointer, http, "HEALTH_SERVER=http"),
        ("HEALTH_HTTP_VALUE", &flags.http_value, http, "HEALTH_SERVER=http"),
        (
            "HEALTH_HTTP_HEADERS",
            &flags.http_headers,
            kind.name != "tcp",
            "a HEALTH_SERVER that is sent requests",
        ),
        (
            "HEALTH_GRPC_SERVICE",
            &flags.grpc_service,
            // Where a version is expected, gRPC is not tried: it could not tell.
            kind.name == "grpc" || kind.name == "auto" && flags.server_model_version.is_none(),
            "HEALTH_SERVER=grpc, or auto without a version",
        ),
    ];
    match texts.into_iter().find(|(_, value, effective, _)| value.is_some() && !effective) {
        Some((setting, _, _, without)) => Err(ConfigError::Idle { setting: Setting(setting), without }),
        None => Ok(()),
    }
}

fn asks(kind: &Presets, flags: &ServeFlags, server: &HttpUrl) -> Result<Asks, ConfigError> {
    let service = name(Setting("HEALTH_GRPC_SERVICE"), flags.grpc_service.clone())?;
    let over_http =
        |questions: Vec<Question>| Ok(Asks::Kind(Kind { name: kind.name, way: Way::Http(questions) }));
    match kind.name {
        "auto" => {
            let model = model(kind.name, flags)?;
            let service = service.unwrap_or_else(|| model.name.clone());
            Ok(Asks::Auto(Auto::new(model, service)))
        }
        "kserve-v1" => over_http(kserve_v1::questions(&model(kind.name, flags)?)),
        "kserve-v2" => over_http(kserve_v2::questions(&model(kind.name, flags)?)),
        "triton" => over_http(triton::questions(&model(kind.name, flags)?)),
        "tensorflow-serving" => over_http(tensorflow_serving::questions(&model(kind.name, flags)?)),
        "torchserve" => over_http(torchserve::questions(&model(kind.name, flags)?)),
        "openai" => over_http(openai::questions(&model(kind.name, flags)?)),
        "ollama" => over_http(ollama::questions(&model(kind.name, flags)?)),
        "mlflow" => over_http(mlflow::questions()),
        "http" => over_http(http_questions(flags)?),
        without_path => {
            if server.path() != "/" {
                let expected = format!("an address without a path for `{without_path}`");
                return Err(invalid(Setting("HEALTH_SERVER_URL"), &expected, &server.to_string()));
            }
            let way = if without_path == "grpc" { Way::Grpc(service.unwrap_or_default()) } else { Way::Tcp };
            Ok(Asks::Kind(Kind { name: kind.name, way }))
        }
    }
}

fn model(kind: &'static str, flags: &ServeFlags) -> Result<Named, ConfigError> {
    let given = name(Setting("HEALTH_SERVER_MODEL"), flags.server_model.clone())?;
    let known = given.or_else(|| flags.model_name.clone()).ok_or(ConfigError::Missing {
        setting: Setting("HEALTH_SERVER_MODEL"),
        hint: "set it or MODEL_NAME: this kind of server is asked about a model by name",
    })?;
    let version = name(Setting("HEALTH_SERVER_MODEL_VERSION"), flags.server_model_version.clone())?;
    // TensorFlow Serving has numbers for versions, and any other word makes a request that is not understood.
    if let ("tensorflow-serving", Some(version)) = (kind, &version)
        && version.parse::<u64>().is_err()
    {
        return Err(invalid(Setting("HEALTH_SERVER_MODEL_VERSION"), "a number", version));
    }
    Ok(Named { name: known, version })
}

fn http_questions(flags: &ServeFlags) -> Result<Vec<Question>, ConfigError> {
    let path = flags.http_path.as_deref().unwrap_or("/health");
    if !http::is_path(path) {
        return Err(invalid(Setting("HEALTH_HTTP_PATH"), "a path that starts with `/`", path));
    }
    let body = flags.http_body.clone().unwrap_or_default();
    if body.len() > MAX_BODY_BYTES {
        let expected = format!("at most {MAX_BODY_BYTES} bytes");
        return Err(invalid(Setting("HEALTH_HTTP_BODY"), &expected, &format!("{} bytes", body.len())));
    }
    let method = match flags.http_method.as_deref() {
        None if body.is_empty() => Method::GET,
        None => Method::POST,
        Some("GET") => Method::GET,
        // Its answer has no body, so nothing would ever be at the pointer.
        Some("HEAD") if flags.http_pointer.is_none() => Method::HEAD,
        Some("HEAD") => {
            let expected = "another method where HEALTH_HTTP_POINTER is set";
            return Err(invalid(Setting("HEALTH_HTTP_METHOD"), expected, "HEAD"));
        }
        Some("POST") => Method::POST,
        Some("PUT") => Method::PUT,
        Some(other) => {
            return Err(invalid(Setting("HEALTH_HTTP_METHOD"), "`GET`, `HEAD`, `POST` or `PUT`", other));
        }
    };
    let condition = Condition { statuses: statuses(flags)?, body: body_condition(flags)? };
    Ok(http::questions(method, path, body, condition))
}

fn statuses(flags: &ServeFlags) -> Result<Vec<StatusCode>, ConfigError> {
    let Some(text) = &flags.http_status else { return Ok(vec![StatusCode::OK]) };
    let setting = Setting("HEALTH_HTTP_STATUS");
    let expected = "statuses from 200 to 599, with commas between them";
    if text.split(',').count() > MAX_STATUSES {
        return Err(invalid(setting, &format!("at most {MAX_STATUSES} statuses"), text));
    }
    let status = |part: &str| match parsed::<StatusCode>(setting, part.trim(), expected) {
        Ok(status) if (200..600).contains(&status.as_u16()) => Ok(status),
        _ => Err(invalid(setting, expected, text)),
    };
    text.split(',').map(status).collect()
}

fn body_condition(flags: &ServeFlags) -> Result<BodyCondition, ConfigError> {
    match (&flags.http_pointer, &flags.http_value) {
        (None, None) => Ok(BodyCondition::Any),
        (None, Some(_)) => {
            let setting = Setting("HEALTH_HTTP_VALUE");
            Err(ConfigError::Idle { setting, without: "HEALTH_HTTP_POINTER" })
        }
        (Some(pointer), _) if !http::is_pointer(pointer) => {
            let expected = "a JSON pointer such as `/data/0/id`";
            Err(invalid(Setting("HEALTH_HTTP_POINTER"), expected, pointer))
        }
        (Some(pointer), None) => Ok(BodyCondition::Has(pointer.clone())),
        (Some(_), Some(value)) if value.is_empty() => {
            Err(invalid(Setting("HEALTH_HTTP_VALUE"), "a value", value))
        }
        (Some(pointer), Some(value)) => Ok(BodyCondition::Equals(pointer.clone(), http::value(value))),
    }
}
