//! A page of a folder's listing, as a file share sends it.
//! <https://learn.microsoft.com/en-us/rest/api/storageservices/list-directories-and-files>

use handoff::SafePath;
use handoff::text::{cut, shown};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::store::RemoteFile;
use crate::store::cloud::quoted;

/// What is in a folder, or a part of that.
pub(crate) struct Page {
    pub(crate) files: Vec<RemoteFile>,
    pub(crate) folders: Vec<SafePath>,
    /// Where the listing goes on, if it does.
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EnumerationResults {
    entries: Entries,
    #[serde(default)]
    next_marker: String,
}

#[derive(Deserialize)]
struct Entries {
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

/// One that is neither is an error: left out, it would be a file that the model lacks.
#[derive(Deserialize)]
enum Entry {
    #[serde(rename_all = "PascalCase")]
    File { name: Name, properties: Properties },
    #[serde(rename_all = "PascalCase")]
    Directory { name: Name },
}

#[derive(Deserialize)]
struct Name {
    /// Whether it is percent-encoded, as it is where XML could not hold it.
    #[serde(rename = "@Encoded", default)]
    is_encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct Properties {
    #[serde(rename = "Content-Length")]
    size: u64,
    #[serde(rename = "Etag")]
    etag: Option<String>,
}

impl Page {
    /// Reads the page of a folder that was asked for by the marker `before`.
    pub(crate) fn read(body: &[u8], folder: &str, before: Option<&str>) -> Result<Self, String> {
        let answer: EnumerationResults = quick_xml::de::from_reader(body)
            .map_err(|error| format!("it is no listing: {}", shown(&cut(&error.to_string(), 200))))?;
        let next = Some(answer.next_marker).filter(|next| !next.is_empty());
        if next.is_some() && next.as_deref() == before {
            return Err("the page after a page is that page again".to_owned());
        }
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in answer.entries.entries {
            match entry {
                Entry::Directory { name } => folders.push(name.below(folder)?),
                Entry::File { name, properties: Properties { size, etag } } => files.push(RemoteFile {
                    path: name.below(folder)?,
                    size: Some(size),
                    identity: etag.as_deref().map(quoted),
                    checksum: None,
                }),
            }
        }
        Ok(Self { files, folders, next })
    }
}

impl Name {
    fn below(self, folder: &str) -> Result<SafePath, String> {
        let name = match self.is_encoded {
            true => percent_decode_str(&self.text).decode_utf8_lossy().into_owned(),
            false => self.text,
        };
        let path = [folder, &name].join("/");
        let path = path.strip_prefix('/').filter(|_| folder.is_empty()).unwrap_or(&path);
        path.parse().map_err(|error: handoff::path::PathError| {
            format!("it lists `{}`, which cannot be a file's name here: {error}", shown(&cut(&name, 200)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(entries: &str, next: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"https://acme/\" \
             ShareName=\"models\" DirectoryPath=\"a\"><DirectoryId>1</DirectoryId><Entries>{entries}</Entries>\
             <NextMarker>{next}</NextMarker></EnumerationResults>"
        )
    }

    fn file(name: &str) -> String {
        format!(
            "<File><FileId>2</FileId>{name}<Properties><Content-Length>7</Content-Length>\
             <Etag>\"0x8D\"</Etag></Properties></File>"
        )
    }

    #[test]
    fn files_and_folders_are_told_apart_in_any_order() {
        let folder = "<Directory><Name>code</Name><Properties><Etag>\"1\"</Etag></Properties></Directory>";
        let entries = [
            file("<Name>a  b &amp; größe .bin</Name>"),
            folder.to_owned(),
            file("<Name Encoded=\"true\">a%25%EF%BF%BE</Name>"),
            file("<Name Encoded=\"false\"> c%20.bin</Name>"),
        ];
        let text = page(&entries.concat(), "b/c");
        let page = Page::read(text.as_bytes(), "x", Some("a")).unwrap();
        let paths: Vec<_> = page.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["x/a  b & größe .bin", "x/a%\u{fffe}", "x/ c%20.bin"]);
        assert_eq!(page.folders.iter().map(SafePath::as_str).collect::<Vec<_>>(), ["x/code"]);
        assert_eq!((page.files[0].size, page.next.as_deref()), (Some(7), Some("b/c")));
        assert_eq!(page.files[0].identity.as_ref().unwrap().0, "\"0x8D\"");
    }

    #[test]
    fn a_listing_of_something_else_is_refused() {
        let read = |text: &str| Page::read(text.as_bytes(), "", Some("a")).map(|page| page.files.len());
        assert_eq!(read("<EnumerationResults><Entries/><NextMarker/></EnumerationResults>"), Ok(0));
        assert_eq!(read(&page("", "a")).unwrap_err(), "the page after a page is that page again");
        for name in ["..", "", "a/../b", "/etc", "a\u{202e}b"] {
            let error = read(&page(&file(&format!("<Name>{name}</Name>")), "")).unwrap_err();
            assert!(error.starts_with("it lists `"), "{error}");
        }
        let link = page("<SymLink><Name>a</Name></SymLink>", "");
        for text in ["", "{}", "<html>", "<EnumerationResults><Blobs/></EnumerationResults>", link.as_str()] {
            assert!(read(text).unwrap_err().starts_with("it is no listing: "), "{text}");
        }
    }
}
