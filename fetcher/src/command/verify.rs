//! `fetcher verify`: hashes again what the receipt of a directory lists, and what its signature does.

use std::fs;
use std::io;
use std::path::Path;

use handoff::{Layout, ReadError, Receipt};

use crate::config::{Signed, Verify};
use crate::error::Error;
use crate::limits::Limits;
use crate::signature::directory::{self, Directory};
use crate::signature::{self, SignatureError, Trust};
use crate::verify::verify_directory;
use handoff::ByteSize;

pub(crate) fn run(job: &Verify) -> Result<String, Error> {
    let Some(signed) = &job.signed else {
        let receipt = receipt(&job.layout)?;
        verify_directory(&job.layout, &receipt)?;
        return Ok(super::pull::success_line(&receipt, "verified on disk"));
    };
    let trust = super::trust(&signed.trusted)?;
    // A directory that was copied by hand has none.
    let receipt = match receipt(&job.layout) {
        Err(Error::Receipt(ReadError::Missing { .. })) => None,
        other => Some(other?),
    };
    against_signature(&job.layout, signed, &trust, receipt.as_ref())
}

fn receipt(layout: &Layout) -> Result<Receipt, Error> {
    let receipt = Receipt::read(&layout.receipt()).map_err(Error::Receipt)?;
    match receipt.is_consistent() {
        true => Ok(receipt),
        false => Err(Error::ReceiptTampered { directory: layout.model_dir().display().to_string() }),
    }
}

fn against_signature(
    layout: &Layout,
    signed: &Signed,
    trust: &Trust,
    receipt: Option<&Receipt>,
) -> Result<String, Error> {
    let manifest = signature::verify(&read_signature(&signed.signature)?, trust)?;
    if let Some(receipt) = receipt {
        receipt.check_in_place(layout.model_dir()).map_err(|error| Error::Verify(error.into()))?;
    }
    let (root, state) = (layout.model_dir(), layout.state_dir());
    let directory = Directory { root, signature: &signed.signature, state };
    let checked = directory::check(directory, &manifest, receipt)?;
    let how = format!("verified on disk, signed by {}", manifest.signer());
    Ok(match receipt {
        Some(receipt) => super::pull::success_line(receipt, &how),
        None => format!("{}: {} files, {}, {how}", root.display(), checked.files, ByteSize(checked.bytes)),
    })
}

fn read_signature(path: &Path) -> Result<Vec<u8>, Error> {
    let file = path.display().to_string();
    let too_large = || Error::Signature(SignatureError::TooLarge { limit: Limits::DEFAULT.document_bytes });
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Error::Unsigned { file }),
        Ok(metadata) if !metadata.is_file() => return Err(Error::Unsigned { file }),
        _ => {}
    }
    match super::bounded(path) {
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(too_large()),
        outcome => outcome.map_err(|source| Error::SignatureFile { file, source }),
    }
}
