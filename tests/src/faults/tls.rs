//! What goes wrong with TLS: connections that break below it, and certificates.

use super::certificates::Certificate;
use super::{Case, Harm, Source};
use crate::fault_proxy::tcp::TcpDamage;

/// A case of broken connections.
fn broken(name: &str, damage: fn(u64) -> TcpDamage) -> Case {
    Case::of(Source::Tls(Certificate::Right), name, Harm::Connections(damage))
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        broken("handshake_reset", |number| match number {
            0..2 => TcpDamage::ResetAfter(0),
            _ => TcpDamage::None,
        })
        .told("the connection is reset in answer to the first word of TLS", "asks again")
        .ends(0, &["retrying"]),
        broken("handshake_cut", |number| match number {
            0..2 => TcpDamage::CloseAfter(300),
            _ => TcpDamage::None,
        })
        .told("the connection is closed in the middle of the handshake", "asks again")
        .ends(0, &["retrying"]),
        broken("handshake_always_reset", |_| TcpDamage::ResetAfter(0))
            .told("every handshake is reset", "gives up")
            .ends(69, &["gave up after 3 attempts"]),
        broken("handshake_stalled", |_| TcpDamage::StallAfter(0))
            .with("FETCHER_DEADLINE", "3s")
            .told("no handshake is answered", "ends at `FETCHER_DEADLINE`")
            .ends(69, &["not done within 3 s"]),
        broken("body_cut", |number| match number {
            0..4 => TcpDamage::CloseAfter(1_000_000),
            _ => TcpDamage::None,
        })
        .told("the connection is closed in the middle of the body", "goes on where it broke")
        .ends(0, &["retrying"]),
        broken("body_reset", |number| match number {
            0..4 => TcpDamage::ResetAfter(1_000_000),
            _ => TcpDamage::None,
        })
        .told("the connection is reset in the middle of the body", "goes on where it broke")
        .ends(0, &["retrying"]),
        broken("flipped_bit", |number| match number {
            0..4 => TcpDamage::FlipAt(500_000),
            _ => TcpDamage::None,
        })
        .told("one bit on the line is another one", "notices by TLS; goes on where it was")
        .ends(0, &["retrying"]),
    ];
    let wrong = [
        (Certificate::OtherName, "other_name", "a certificate for another name", "not valid for name"),
        (Certificate::Expired, "expired", "a certificate that is over", "expired"),
        (
            Certificate::SelfSigned,
            "self_signed",
            "a certificate that nobody trusted has signed",
            "is not trusted",
        ),
    ];
    for (certificate, name, fault, words) in wrong {
        for source in [Source::Tls(certificate), Source::S3Tls(certificate)] {
            let case = Case::of(source, name, Harm::Source).told(fault, "does not say a word to the server");
            cases.push(case.ends(64, &["the certificate of ", "is not trusted: ", words]));
        }
    }
    cases
}
