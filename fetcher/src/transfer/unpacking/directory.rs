//! Reads the central directory of a ZIP archive, which is at its end, by ranges.

use futures_util::StreamExt as _;

use crate::archive::UnpackError;
use crate::archive::zip::directory::{Directory, Place, TAIL_BYTES};
use crate::plan::PlannedFile;
use crate::retry::Budget;
use crate::store::{ByteRange, Store, StoreError};
use crate::transfer::TransferError;
use crate::verify::VerifyError;

/// What a source cannot do that a ZIP archive needs.
const NO_ZIP: &str = "publish the model as .tar.gz or .tar.zst, which are read from front to back";

/// Reads what is at the end of the archive.
pub(super) async fn read(
    store: &dyn Store,
    file: &PlannedFile,
    budget: &Budget,
) -> Result<Directory, TransferError> {
    let failed = |source| TransferError::Unpack { path: file.path.clone(), source };
    let Some(size) = file.size else {
        let reason =
            "its source does not say how large it is, and what is in it stands at its end".to_owned();
        return Err(failed(UnpackError::Unsupported { reason, hint: NO_ZIP }));
    };
    let tail = tail(store, file, budget, size, TAIL_BYTES.min(size)).await?;
    let place = Place::find(&tail, size).map_err(failed)?;
    let length = place.bytes_to_end(size).map_err(failed)?;
    let bytes = match usize::try_from(length).ok().and_then(|length| tail.len().checked_sub(length)) {
        Some(before) => tail.get(before..).unwrap_or_default().to_vec(),
        None => self::tail(store, file, budget, size, length).await?,
    };
    Directory::parse(bytes, place).map_err(failed)
}

/// The last bytes of the archive.
async fn tail(
    store: &dyn Store,
    file: &PlannedFile,
    budget: &Budget,
    size: u64,
    length: u64,
) -> Result<Vec<u8>, TransferError> {
    let range = ByteRange { start: size.saturating_sub(length), end: Some(size) };
    let asked = || async move {
        let mut body = store.read(&file.source.path, file.source.identity.as_ref(), range).await?;
        if body.starts_at != range.start {
            return Ok(Read::NoRanges);
        }
        if let Some(got) = body.size.filter(|got| *got != size) {
            return Ok(Read::Size(got));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = body.chunks.next().await {
            bytes.extend_from_slice(&piece?);
            if u64::try_from(bytes.len()).is_ok_and(|got| got > length) {
                break;
            }
        }
        match u64::try_from(bytes.len()) == Ok(length) {
            true => Ok(Read::Bytes(bytes)),
            false => {
                let (what, reason) =
                    (file.source.path.to_string(), "the answer has another length".to_owned());
                Err(StoreError::Unavailable { what, reason, retry_after: None, source: None })
            }
        }
    };
    let path = file.path.clone();
    match budget.run(asked).await {
        Ok(Read::Bytes(bytes)) => Ok(bytes),
        Ok(Read::Size(got)) => Err(VerifyError::Size { path, expected: size, got }.into()),
        Ok(Read::NoRanges) => {
            let reason = "its source cannot give parts of it, and what is in it stands at its end".to_owned();
            let source = UnpackError::Unsupported { reason, hint: NO_ZIP };
            Err(TransferError::Unpack { path, source })
        }
        Err(source) => Err(TransferError::Source { path, range, source }),
    }
}

/// What an answer was.
enum Read {
    Bytes(Vec<u8>),
    Size(u64),
    NoRanges,
}
