//! What all archives of a model together may unpack to.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::archive::UnpackError;
use crate::limits::Limits;
use crate::plan::Plan;

/// Files and bytes that there is room for.
#[derive(Debug)]
pub(super) struct Room {
    left: Mutex<(usize, u64)>,
    largest: u64,
}

impl Room {
    /// What a model of at most `largest` bytes has room for beside its plain files.
    pub(super) fn beside(plan: &Plan, largest: u64) -> Self {
        let plain = plan.plain().filter_map(|file| file.size).fold(0, u64::saturating_add);
        let files = Limits::DEFAULT.files.saturating_sub(plan.plain().count());
        Self { left: Mutex::new((files, largest.saturating_sub(plain))), largest }
    }

    /// Takes room for a file.
    pub(super) fn take(&self, bytes: u64) -> Result<(), UnpackError> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(files) = left.0.checked_sub(1) else {
            let problem =
                format!("the model has more than {} files with what is in it", Limits::DEFAULT.files);
            return Err(UnpackError::Excessive(problem, "pack fewer files"));
        };
        self.check(bytes, left.1)?;
        *left = (files, left.1 - bytes);
        Ok(())
    }

    /// Whether there is room for so many bytes.
    pub(super) fn has(&self, bytes: u64) -> Result<(), UnpackError> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner).1;
        self.check(bytes, left)
    }

    fn check(&self, bytes: u64, left: u64) -> Result<(), UnpackError> {
        if bytes <= left {
            return Ok(());
        }
        let problem = format!("the model has more than {} bytes with what is in it", self.largest);
        Err(UnpackError::Excessive(problem, "FETCHER_MAX_SIZE sets how large a model may be"))
    }

    /// Gives back what files took.
    pub(super) fn give_back(&self, files: usize, bytes: u64) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left = (left.0.saturating_add(files), left.1.saturating_add(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_much_and_no_more() {
        let room = Room { left: Mutex::new((2, 10)), largest: 10 };
        room.take(10).unwrap();
        let words = |outcome: Result<(), UnpackError>| outcome.unwrap_err().to_string();
        assert_eq!(words(room.has(1)), "the model has more than 10 bytes with what is in it");
        room.take(0).unwrap();
        assert_eq!(words(room.take(0)), "the model has more than 100000 files with what is in it");
        room.give_back(2, 10);
        room.take(10).unwrap();
    }
}
