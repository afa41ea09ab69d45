//! Git repositories over HTTP, as KServe writes them and as pip does.
//!
//! `https://host/owner/name.git` is the branch that the repository itself points to. `git+https://host/name.git@v1#subdirectory=a/b`
//! is a folder at a branch, a tag or a commit.
//! <https://pip.pypa.io/en/stable/topics/vcs-support/>

use std::fmt;

use handoff::SafePath;
use handoff::text::is_harmful;
use url::Url;

use super::UriError;
use crate::redact::Redacted;

const SCHEME: &str = "git";
const PREFIX: &str = "git+";
const FOLDER: &str = "subdirectory=";
const COMMIT_DIGITS: usize = 40;

/// A place in a Git repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitUri {
    /// The repository. It may have the name of a user, who is asked for by that name, and no password.
    pub repository: Url,
    /// What of it.
    pub part: GitPart,
}

/// A part of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GitPart {
    /// A folder.
    Folder {
        /// A branch, a tag or a commit; the branch that the repository points to, where none is named.
        revision: Option<String>,
        /// The folder, without slashes at its ends; empty for all of it.
        folder: String,
    },
    /// One of its objects, by the name that the store has for it.
    Object(String),
}

/// Whether a revision is a commit, which stays what it is.
pub(crate) fn is_commit(revision: &str) -> bool {
    revision.len() == COMMIT_DIGITS
        && revision.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

impl GitUri {
    /// Reads an address; nothing, if it is not that of a repository.
    ///
    /// # Errors
    /// See [`UriError`].
    pub(super) fn read(text: &str) -> Result<Option<Self>, UriError> {
        let (address, is_pips) = match text.strip_prefix(PREFIX) {
            Some(address) => (address, true),
            None if text.starts_with("https://") && text.ends_with(".git") => (text, false),
            None => return Ok(None),
        };
        if text.chars().any(is_harmful) {
            return Err(UriError::Characters);
        }
        let part = |part, expected| UriError::Part { scheme: SCHEME, part, expected };
        let (address, fragment) = if is_pips { cut(address, '#') } else { (address, None) };
        // The `@` before the host is behind a user.
        let (host, path) = address.split_at(address.rfind('/').unwrap_or(0));
        let (path, revision) = if is_pips { cut(path, '@') } else { (path, None) };
        let repository: Url = format!("{host}{path}").parse().map_err(|_| UriError::Malformed)?;
        if !matches!(repository.scheme(), "http" | "https") {
            let scheme = format!("{PREFIX}{}", repository.scheme());
            return Err(UriError::Scheme { scheme, expected: "git+https or git+http" });
        }
        if repository.password().is_some() {
            return Err(UriError::Credentials { scheme: SCHEME.to_owned() });
        }
        if repository.query().is_some() || repository.fragment().is_some() {
            return match is_pips {
                true => Err(UriError::Query { scheme: SCHEME, expected: "none" }),
                false => Ok(None),
            };
        }
        if revision.is_some_and(|revision| !is_revision(revision)) {
            return Err(part("revision", "the name of a branch or a tag, or a commit of all its 40 digits"));
        }
        let folder = match fragment {
            None => String::new(),
            Some(fragment) => {
                let folder = fragment.strip_prefix(FOLDER).map(str::parse::<SafePath>);
                let folder =
                    folder.and_then(Result::ok).ok_or(part("fragment", "`subdirectory=` and a folder"))?;
                folder.as_str().to_owned()
            }
        };
        let revision = revision.map(str::to_owned);
        Ok(Some(Self { repository, part: GitPart::Folder { revision, folder } }))
    }

    /// The same where the repository is now.
    pub(crate) fn at_repository(&self, repository: &Url) -> Self {
        Self { repository: repository.clone(), part: self.part.clone() }
    }

    /// The same repository at an object.
    pub(crate) fn object(&self, name: String) -> Self {
        Self { repository: self.repository.clone(), part: GitPart::Object(name) }
    }

    /// Splits the address of an object into its repository and its name there.
    pub(super) fn split_object(&self) -> Option<(Self, SafePath)> {
        let GitPart::Object(name) = &self.part else { return None };
        Some((self.object(String::new()), name.parse().ok()?))
    }

    /// What stands for the version.
    pub fn version(&self) -> Option<String> {
        match &self.part {
            GitPart::Folder { revision, .. } => revision.clone(),
            GitPart::Object(_) => None,
        }
    }

    /// Whether it may mean something else tomorrow.
    pub fn is_floating(&self) -> bool {
        self.version().is_none_or(|revision| !is_commit(&revision))
    }

    /// The same at a commit.
    pub(crate) fn at(&self, commit: &str) -> Self {
        let folder = match &self.part {
            GitPart::Folder { folder, .. } => folder.clone(),
            GitPart::Object(_) => String::new(),
        };
        let part = GitPart::Folder { revision: Some(commit.to_owned()), folder };
        Self { repository: self.repository.clone(), part }
    }

    /// Whether an address, as it is shown, is what this one led to.
    pub fn led_to(&self, shown: &str) -> bool {
        match Self::read(shown) {
            Ok(Some(resolved)) => match resolved.version() {
                Some(commit) if self.is_floating() => self.at(&commit).to_string() == shown,
                _ => self.to_string() == shown,
            },
            _ => false,
        }
    }

    /// A name for people: the folder's, or the repository's.
    pub fn display_name(&self) -> String {
        match &self.part {
            GitPart::Folder { folder, .. } if !folder.is_empty() => {
                folder.rsplit('/').next().unwrap_or(folder).to_owned()
            }
            _ => {
                let name = self.repository.path().rsplit('/').find(|segment| !segment.is_empty());
                let name = name.unwrap_or_default();
                name.strip_suffix(".git").unwrap_or(name).to_owned()
            }
        }
    }
}

/// A text before and behind a character, which need not be there.
fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, behind)| (before, Some(behind)))
}

/// Whether Git could have a name of its own for it.
/// <https://git-scm.com/docs/git-check-ref-format>
fn is_revision(text: &str) -> bool {
    let allowed = |character: char| character.is_ascii_graphic() && !"~^:?*[\\#@{".contains(character);
    !text.is_empty() && !text.starts_with('-') && !text.contains("..") && text.chars().all(allowed)
}

impl fmt::Display for GitUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", Redacted(&self.repository))?;
        match &self.part {
            GitPart::Object(name) => write!(f, " object {name}"),
            GitPart::Folder { revision, folder } => {
                revision.as_ref().map_or(Ok(()), |revision| write!(f, "@{revision}"))?;
                match folder.is_empty() {
                    true => Ok(()),
                    false => write!(f, "#{FOLDER}{folder}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> GitUri {
        GitUri::read(text).unwrap().unwrap()
    }

    #[test]
    fn kserves_and_pips_addresses_are_read() {
        let commit = "0a".repeat(20);
        for (text, shown, version, name) in [
            ("https://host/a/model.git", "git+https://host/a/model.git", None, "model"),
            ("https://me@host/model.git", "git+https://host/model.git", None, "model"),
            ("git+http://host:3000/model", "git+http://host:3000/model", None, "model"),
            ("git+https://host/model.git@v1.2", "git+https://host/model.git@v1.2", Some("v1.2"), "model"),
            (
                "git+https://me@host/m.git@main#subdirectory=a/b",
                "git+https://host/m.git@main#subdirectory=a/b",
                Some("main"),
                "b",
            ),
        ] {
            let uri = read(text);
            assert_eq!((uri.to_string().as_str(), uri.version().as_deref()), (shown, version));
            assert_eq!(uri.display_name(), name);
            assert!(uri.is_floating());
            let resolved = uri.at(&commit);
            assert!(uri.led_to(&resolved.to_string()) && !resolved.is_floating());
            assert!(!resolved.led_to(&uri.at(&"0b".repeat(20)).to_string()));
        }
        for text in [
            "https://host/model.git?x=1",
            "https://host/model.git/file",
            "http://host/model.git",
            "s3://b/x.git",
        ] {
            assert_eq!(GitUri::read(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn what_no_repository_has_is_refused() {
        assert!(matches!(GitUri::read("https://me:hunter2@host/x.git"), Err(UriError::Credentials { .. })));
        for text in [
            "git+https://h/x.git@",
            "git+https://h/x.git@a..b",
            "git+https://h/x.git@-x",
            "git+https://h/x.git#subdirectory=../y",
            "git+https://h/x.git#egg=y",
        ] {
            assert!(matches!(GitUri::read(text), Err(UriError::Part { .. })), "{text}");
        }
        assert!(matches!(GitUri::read("git+ssh://git@host/x.git"), Err(UriError::Scheme { .. })));
        assert!(matches!(GitUri::read("git+https://h/x?y"), Err(UriError::Query { .. })));
    }
}
