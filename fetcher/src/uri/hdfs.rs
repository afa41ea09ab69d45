//! Places in HDFS, as KServe writes them and as Hadoop does.
//!
//! | written as | cluster | path |
//! |---|---|---|
//! | `hdfs://a/b`, `webhdfs://a/b` | that of `HDFS_NAMENODE` | `a/b` below `HDFS_ROOTPATH` |
//! | `hdfs:///a/b`, `webhdfs:///a/b` | that of `HDFS_NAMENODE` | `/a/b` |
//! | `hdfs://host:8020/a/b` | that of `HDFS_NAMENODE`: this port speaks Hadoop's own protocol | `/a/b` |
//! | `webhdfs://host:9870/a/b`, `swebhdfs://…` | the one whose NameNode answers there over HTTP, or HTTPS | `/a/b` |
//!
//! The first row is KServe's reading, to which no part of the address is a host. The others are Hadoop's:
//! <https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-hdfs/WebHDFS.html>

use std::fmt;

use handoff::SafePath;
use handoff::text::is_harmful;
use url::Url;

use super::UriError;

/// A folder or a file in HDFS.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HdfsUri {
    /// The web address of the NameNode, where the URI says so; else `HDFS_NAMENODE` does.
    pub name_node: Option<Url>,
    /// Whether the path begins at `HDFS_ROOTPATH`, and not at the root of the file system.
    pub is_relative: bool,
    /// The path, as it is written, without slashes at its ends.
    pub path: String,
}

impl HdfsUri {
    /// Reads an address; nothing, if its scheme is none of HDFS's.
    ///
    /// # Errors
    /// See [`UriError`].
    pub(super) fn read(text: &str) -> Result<Option<Self>, UriError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(None) };
        let (scheme, web) = match scheme {
            "hdfs" => ("hdfs", None),
            "webhdfs" => ("webhdfs", Some("http")),
            "swebhdfs" => ("swebhdfs", Some("https")),
            _ => return Ok(None),
        };
        if text.chars().any(is_harmful) {
            return Err(UriError::Characters);
        }
        let (authority, below) = rest.split_once('/').unwrap_or((rest, ""));
        let is_host = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if is_host && authority.contains('@') {
            return Err(UriError::Credentials { scheme: scheme.to_owned() });
        }
        let name_node = match web.filter(|_| is_host || scheme == "swebhdfs") {
            Some(web) => Some(web_address(web, authority).ok_or(UriError::Malformed)?),
            None => None,
        };
        let has_host = name_node.is_some() || is_host;
        let path = if has_host { below } else { rest }.trim_matches('/').to_owned();
        // The server would take these for other folders.
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(UriError::Part { scheme, part: "path", expected: "one without `.` and `..`" });
        }
        Ok(Some(Self { name_node, is_relative: !has_host && !rest.starts_with('/'), path }))
    }

    /// Another path of the same cluster.
    pub(crate) fn at(&self, path: &str) -> Self {
        Self { path: path.trim_matches('/').to_owned(), ..self.clone() }
    }

    /// The folder that this file is in, and its name there; nothing, if it can have none.
    pub(super) fn split_file(&self) -> Option<(Self, SafePath)> {
        let (folder, file) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let name: SafePath = file.parse().ok()?;
        Some((self.at(folder), name))
    }
}

/// The address of a server that is named by nothing but its host and port.
fn web_address(scheme: &str, authority: &str) -> Option<Url> {
    let url: Url = format!("{scheme}://{authority}").parse().ok()?;
    (url.path() == "/" && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

impl fmt::Display for HdfsUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.is_relative { "" } else { "/" };
        match &self.name_node {
            None => write!(f, "hdfs://{slash}{}", self.path),
            Some(url) => {
                let secure = if url.scheme() == "https" { "s" } else { "" };
                // Without its port it would be no host.
                let (host, port) = (url.host_str().unwrap_or(""), url.port_or_known_default().unwrap_or(0));
                write!(f, "{secure}webhdfs://{host}:{port}/{}", self.path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> HdfsUri {
        HdfsUri::read(text).unwrap().unwrap()
    }

    #[test]
    fn kserves_addresses_have_no_host_and_hadoops_have_one() {
        for (text, name_node, is_relative, path) in [
            ("hdfs://user/me/model", None, true, "user/me/model"),
            ("webhdfs://user/me/a b/", None, true, "user/me/a b"),
            ("hdfs:///user/me", None, false, "user/me"),
            ("hdfs://nn.hadoop:8020/user/me", None, false, "user/me"),
            ("webhdfs://nn.hadoop:9870/user/me", Some("http://nn.hadoop:9870/"), false, "user/me"),
            ("swebhdfs://nn.hadoop:9871/", Some("https://nn.hadoop:9871/"), false, ""),
            ("swebhdfs://nn.hadoop/user", Some("https://nn.hadoop/"), false, "user"),
            ("webhdfs://nn.hadoop:80/user", Some("http://nn.hadoop/"), false, "user"),
        ] {
            let uri = read(text);
            assert_eq!(uri.name_node.as_ref().map(Url::as_str), name_node, "{text}");
            assert_eq!((uri.is_relative, uri.path.as_str()), (is_relative, path), "{text}");
            assert_eq!(read(&uri.to_string()), uri, "what is printed means the same");
        }
        assert_eq!(HdfsUri::read("s3://bucket/hdfs://a"), Ok(None));
    }

    #[test]
    fn a_path_that_means_another_one_and_a_password_are_refused() {
        assert!(matches!(HdfsUri::read("hdfs://models/../secret"), Err(UriError::Part { .. })));
        assert!(matches!(HdfsUri::read("webhdfs://me:hunter2@nn:9870/x"), Err(UriError::Credentials { .. })));
        assert_eq!(HdfsUri::read("hdfs://a\u{202e}b"), Err(UriError::Characters));
        assert_eq!(HdfsUri::read("webhdfs://a?b:80/x"), Err(UriError::Malformed));
    }

    #[test]
    fn a_file_is_split_from_its_folder() {
        let split = |text: &str| {
            read(text).split_file().map(|(folder, name)| (folder.to_string(), name.as_str().to_owned()))
        };
        assert_eq!(split("hdfs://a/m.bin"), Some(("hdfs://a".into(), "m.bin".into())));
        assert_eq!(split("hdfs:///m.bin"), Some(("hdfs:///".into(), "m.bin".into())));
        assert_eq!(split("webhdfs://nn:9870/a/m.bin"), Some(("webhdfs://nn:9870/a".into(), "m.bin".into())));
        assert_eq!(split("hdfs:///"), None);
    }
}
