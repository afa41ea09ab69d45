//! The health protocol of gRPC (`grpc.health.v1.Health/Check`).
//!
//! Whoever implements it says `SERVING`, or not, of a service by name; the empty name is the server as a whole.
//! What a server counts as a service, and whether it waits for its model, is its own affair: this is its word
//! about a name, not about a model, unless `HEALTH_GRPC_SERVICE` is a name that it sets per model. The two messages
//! are a field each, so they are encoded here.

use super::question::Problem;
use super::word::Failure;
use crate::grpc_client::Reply;

/// What to call.
pub const METHOD: &str = "/grpc.health.v1.Health/Check";
/// Field 1, length-delimited: the request's service. Field 1, varint: the answer's status.
const SERVICE_TAG: u8 = 0x0a;
const STATUS_FIELD: u64 = 1;

/// The `HealthCheckRequest` for `service`, which has at most 256 bytes.
pub fn request(service: &str) -> Vec<u8> {
    if service.is_empty() {
        return Vec::new();
    }
    let mut length = service.len();
    let mut message = vec![SERVICE_TAG];
    loop {
        let low = u8::try_from(length & 0x7f).unwrap_or(0);
        length >>= 7;
        message.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    message.extend_from_slice(service.as_bytes());
    message
}

/// Whether the reply means "loaded".
///
/// # Errors
/// Why not.
pub fn judge(service: &str, reply: &Reply) -> Result<(), Problem> {
    let service = if service.is_empty() { "the server".to_owned() } else { format!("`{service}`") };
    let expected = format!("{service} to be SERVING");
    let garbage = |got: String| Problem { failure: Failure::Garbage, expected: expected.clone(), got };
    let Some(code) = reply.status else {
        return Err(garbage(format!("no status of gRPC, {} of HTTP", reply.http)));
    };
    match code {
        0 => {}
        // The service is not known, which the protocol has its own way to say.
        5 => return Err(Problem::other(expected, describe(code, &reply.detail))),
        _ => return Err(garbage(describe(code, &reply.detail))),
    }
    let status = reply.message().and_then(status).ok_or_else(|| garbage("no health answer".to_owned()))?;
    match status {
        1 => Ok(()),
        2 => Err(Problem::not_yet(expected, "NOT_SERVING")),
        3 => Err(Problem::other(expected, "SERVICE_UNKNOWN")),
        0 => Err(Problem::not_yet(expected, "UNKNOWN")),
        other => Err(garbage(format!("status {other}"))),
    }
}

/// A status code of gRPC by its name.
fn describe(code: u16, detail: &str) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let name =
        NAMES.get(usize::from(code)).map_or_else(|| format!("status {code}"), |name| (*name).to_owned());
    if detail.is_empty() { name } else { format!("{name}: {detail}") }
}

/// The status in a `HealthCheckResponse`; 0 if it is left out, nothing if the message is malformed.
fn status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match (tag >> 3, tag & 7) {
            (STATUS_FIELD, 0) => status = varint(&mut message)?,
            (_, 0) => {
                varint(&mut message)?;
            }
            (_, 1) => message = message.get(8..)?,
            (_, 2) => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            (_, 5) => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::grpc_client::frame;

    fn judged(status: Option<u16>, detail: &str, message: &[u8]) -> Option<String> {
        let reply = Reply { http: StatusCode::OK, status, detail: detail.into(), body: frame(message) };
        let problem = judge("m", &reply).err()?;
        Some(format!("{:?}: {}", problem.failure, problem.got))
    }

    #[test]
    fn a_service_is_a_field_with_its_length() {
        assert_eq!(request(""), b"");
        assert_eq!(request("ab"), [0x0a, 2, b'a', b'b']);
        let long = request(&"a".repeat(200));
        assert_eq!((&long[..3], long.len()), (&[0x0a, 0xc8, 0x01][..], 203));
    }

    #[test]
    fn only_serving_is_loaded() {
        assert_eq!(judged(Some(0), "", &[8, 1]), None);
        assert_eq!(judged(Some(0), "", &[8, 2]).unwrap(), "NotYet: NOT_SERVING");
        assert_eq!(judged(Some(0), "", &[8, 3]).unwrap(), "Other: SERVICE_UNKNOWN");
        assert_eq!(judged(Some(0), "", &[8, 0]).unwrap(), "NotYet: UNKNOWN");
        assert_eq!(judged(Some(0), "", &[]).unwrap(), "NotYet: UNKNOWN");
        assert_eq!(judged(Some(0), "", &[8, 9]).unwrap(), "Garbage: status 9");
        assert_eq!(judged(Some(5), "unknown service", &[]).unwrap(), "Other: NOT_FOUND: unknown service");
        assert_eq!(judged(Some(12), "", &[]).unwrap(), "Garbage: UNIMPLEMENTED");
        assert_eq!(judged(Some(14), "", &[8, 1]).unwrap(), "Garbage: UNAVAILABLE");
        assert_eq!(judged(Some(99), "", &[]).unwrap(), "Garbage: status 99");
        assert_eq!(judged(None, "", &[8, 1]).unwrap(), "Garbage: no status of gRPC, 200 OK of HTTP");
    }

    #[test]
    fn other_fields_are_passed_over_and_broken_ones_refused() {
        assert_eq!(
            status(&[0x12, 2, 8, 8, 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x28, 0x80, 1, 8, 1]),
            Some(1)
        );
        for broken in [&[8][..], &[8, 0x80], &[0x12, 9, 1], &[0x0b], &[0x80; 11], &[0x19, 1]] {
            assert_eq!(status(broken), None, "{broken:?}");
        }
    }
}
