//! The password file of PostgreSQL's own clients: lines of `host:port:database:user:password`.
//!
//! A field may be `*`, which is any, and `\` takes the meaning from the `:` or `\` after it. The first line that fits
//! counts.

/// The password for a host, a port, a database and a user.
pub(super) fn find(text: &str, wanted: [&str; 4]) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| in_line(line, wanted))
}

fn in_line(line: &str, wanted: [&str; 4]) -> Option<String> {
    let mut rest = line;
    for wanted in wanted {
        let (field, after) = split(rest);
        rest = after?;
        if field != "*" && unescaped(field) != wanted {
            return None;
        }
    }
    Some(unescaped(split(rest).0))
}

/// A field, and what comes after its `:`.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut escaped = false;
    let end = text.find(|character| {
        let ends = character == ':' && !escaped;
        escaped = character == '\\' && !escaped;
        ends
    });
    let Some((field, rest)) = end.and_then(|end| text.split_at_checked(end)) else { return (text, None) };
    (field, rest.get(1..))
}

fn unescaped(field: &str) -> String {
    let mut characters = field.chars();
    let next = || match characters.next()? {
        '\\' => characters.next().or(Some('\\')),
        other => Some(other),
    };
    std::iter::from_fn(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let text = "# db:5432:ml:reader:comment\n\
                    db:5432:other:reader:one\n\
                    db:5432:ml:reader:t\\:w\\\\o: \n\
                    *:*:*:reader:three\n\
                    d\\*:5432:ml\r\n";
        let found = |host, user| find(text, [host, "5432", "ml", user]);
        assert_eq!(found("db", "reader").as_deref(), Some(r"t:w\o"));
        assert_eq!(found("other", "reader").as_deref(), Some("three"));
        assert_eq!(found("db", "somebody"), None);
        assert_eq!(found("d*", "reader").as_deref(), Some("three"));
        assert_eq!(find("\\*:1:d:u:p\n", ["h", "1", "d", "u"]), None, "an escaped * is one");
        assert_eq!(find("h:1:d:u:", ["h", "1", "d", "u"]).as_deref(), Some(""));
    }
}
