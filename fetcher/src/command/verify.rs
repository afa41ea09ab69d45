//! `fetcher verify`: hashes again what the receipt of a directory lists.

use handoff::{Layout, Receipt};

use crate::error::Error;
use crate::verify::verify_directory;

pub(crate) fn run(layout: &Layout) -> Result<String, Error> {
    let receipt = Receipt::read(&layout.receipt()).map_err(Error::Receipt)?;
    if !receipt.is_consistent() {
        return Err(Error::ReceiptTampered { directory: layout.model_dir().display().to_string() });
    }
    verify_directory(layout, &receipt)?;
    Ok(super::pull::success_line(&receipt, "verified on disk"))
}
