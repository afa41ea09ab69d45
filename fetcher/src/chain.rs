//! An error with its causes, each once.

use std::error::Error;

use handoff::text;

/// Characters of a line; the termination message is shorter still.
const LONGEST: usize = 4096;

/// The errors below an error, outermost first.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> + Clone {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// The error with its causes in one line, whatever others put into it.
pub fn line(error: &(dyn Error + 'static)) -> String {
    let line = causes(error).fold(error.to_string(), |line, cause| format!("{line}: {cause}"));
    text::cut(&line, LONGEST)
}
