//! The last words of the container when it cannot even begin: one line where the kubelet looks, and with it `kubectl describe` and
//! Argo CD. While the sidecar runs, it has better places to say what it has to say.

use std::fs::OpenOptions;
use std::io::Write as _;

use crate::one_line;

/// Where the kubelet looks unless the container says otherwise. Outside a Pod it is not there, and nothing is written.
/// <https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/>
const TERMINATION_LOG: &str = "/dev/termination-log";

/// Writes the first paragraph of what was said on standard error.
pub fn write(said: &str) {
    let paragraph: Vec<_> = said.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let words = paragraph.join(" ");
    let line = one_line::of(words.trim_start_matches("error: "), one_line::LONGEST);
    // Who cannot be told here has standard error.
    let file = OpenOptions::new().write(true).truncate(true).open(TERMINATION_LOG);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
