//! The last words of a container: one line of at most 512 bytes in the file that the kubelet reads.
//!
//! Argo CD checks and people read it as it is, so it has no newline at its end. It is written on success, on
//! failure and from the panic hook.

use std::fs::OpenOptions;
use std::io::Write as _;

use handoff::ExitCode;

use crate::config::TerminationLog;
use crate::scrub::scrub;

/// The longest line. The kubelet keeps 4096 bytes, but 12 KiB over all containers of a Pod.
pub const MAX_BYTES: usize = 512;

/// Writes the line, in place of what is there. A failure is logged and changes nothing: the exit code counts.
pub fn write(log: &TerminationLog, line: &str) {
    let (path, create) = match log {
        TerminationLog::IfPresent(path) => (path, false),
        TerminationLog::Always(path) => (path, true),
    };
    let mut options = OpenOptions::new();
    let opened = options.write(true).truncate(true).create(create).open(path);
    match opened.and_then(|mut file| write!(file, "{}", fit(&scrub(line)))) {
        Err(error) if create || error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!("cannot write the termination log {}: {error}", path.display());
        }
        _ => {}
    }
}

/// One line within the bound; what is cut ends in `…`.
pub fn fit(text: &str) -> String {
    let mut line: String =
        text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
    if line.len() >= MAX_BYTES {
        let end = (0..MAX_BYTES - 3).rev().find(|&index| line.is_char_boundary(index)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Makes a panic end the process with a line in the log and its own exit code. Without this, a panic in a task
/// would be a mere failure of that task.
pub fn install_panic_hook(log: TerminationLog) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        let message = panic.payload_as_str().unwrap_or("no message");
        let line = format!("fetcher: internal error{place}: {message}");
        tracing::error!("{line}");
        write(&log, &line);
        std::process::exit(i32::from(ExitCode::Internal.code()));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits_whatever_it_is() {
        assert_eq!(fit("short"), "short");
        assert_eq!(fit("two\nlines\u{1b}[31m"), "two lines [31m");
        for length in [500, 511, 512, 513, 2000] {
            let line = fit(&"é".repeat(length));
            assert!(line.len() < MAX_BYTES && line.ends_with('…'), "{length}: {}", line.len());
        }
        assert_eq!(fit(&"x".repeat(511)).len(), 511);
    }

    #[test]
    fn the_default_file_is_not_made_where_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        write(&TerminationLog::IfPresent(path.clone()), "a");
        assert!(!path.exists());
        write(&TerminationLog::Always(path.clone()), "a longer line");
        write(&TerminationLog::IfPresent(path.clone()), "b");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "b");
    }
}
