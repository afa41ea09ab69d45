//! The pages of a bucket's or a container's listing, looked at before the `object_store` crate sees them.
//!
//! That crate reads a page as a whole however long it is, takes a page that is not the last for the last one if it
//! does not say how to go on, and follows pages for as long as there are any. A model would then lack files, or memory
//! and time have no bound. So a page is read here, up to a bound; one that says there is more must say how to get it,
//! and not by itself; and there are only so many of them.
//!
//! It takes the `/` off the end of a name, too. An empty object of such a name is what consoles make to stand for a
//! folder; without its `/` it would be a file that nobody has. So those are left out here.
//!
//! An element is looked for as text: in the names of keys, its brackets would be escaped.

use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use reqwest::{Method, StatusCode};
use url::Url;

use crate::limits::Limits;
use crate::store::StoreError;

/// Whether a request is for a page of a listing.
pub(crate) fn is_asked_for(request: &HttpRequest) -> bool {
    let query = request.uri().query().unwrap_or_default();
    request.method() == Method::GET
        && query.split('&').any(|pair| pair == "list-type=2" || pair == "comp=list")
}

/// Counts the pages of the listing under way.
#[derive(Debug, Default)]
pub(crate) struct Pages(AtomicUsize);

impl Pages {
    /// Asks for a page and checks it.
    pub(crate) async fn ask(
        &self,
        client: &reqwest::Client,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        let (parts, _) = request.into_parts();
        let url: Url = parts.uri.to_string().parse().map_err(unknown)?;
        let before = url.query_pairs().find(|(name, _)| name == "continuation-token" || name == "marker");
        let before = before.map(|(_, token)| token.into_owned());
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        let response = client.execute(request).await.map_err(|error| unknown(error.without_url()))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut page = String::new();
        if status == StatusCode::OK {
            page = String::from_utf8(read(response).await?).map_err(|error| malformed(error.to_string()))?;
            check(&page, before.as_deref()).map_err(malformed)?;
            self.count(before.is_none()).map_err(malformed)?;
            page = without_folder_markers(&page);
        }
        let mut answer = HttpResponse::new(page.into());
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }

    fn count(&self, is_first: bool) -> Result<(), String> {
        if is_first {
            self.0.store(0, Ordering::Relaxed);
        }
        let limit = Limits::DEFAULT.pages;
        match self.0.fetch_add(1, Ordering::Relaxed) < limit {
            true => Ok(()),
            false => Err(format!("the listing has more than {limit} pages")),
        }
    }
}

fn unknown(error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(HttpErrorKind::Unknown, error)
}

/// Whoever asked for the page gives it its name.
fn malformed(reason: String) -> HttpError {
    unknown(StoreError::Malformed { what: String::new(), reason })
}

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, HttpError> {
    let (mut body, limit) = (Vec::new(), Limits::DEFAULT.document_bytes);
    while let Some(chunk) = response.chunk().await.map_err(|error| unknown(error.without_url()))? {
        if body.len() + chunk.len() > limit {
            return Err(unknown(StoreError::TooLarge { what: String::new(), limit }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Whether a page that says there is more says how to go on, and not where it was asked for itself.
pub(crate) fn check(page: &str, before: Option<&str>) -> Result<(), String> {
    // The second is Azure's, which is there, and empty, on the last page.
    let next = element(page, "NextContinuationToken").or_else(|| element(page, "NextMarker"));
    let next = next.filter(|token| !token.is_empty());
    let has_more = element(page, "IsTruncated").is_some_and(|value| value.trim() == "true");
    match next {
        None if has_more => Err("the listing is truncated and does not say how to go on".to_owned()),
        Some(next) if before == Some(next) => Err("the page after a page is that page again".to_owned()),
        _ => Ok(()),
    }
}

/// The page without the empty objects whose names end in `/`: `Contents` of a bucket, and every `Blob` of a container.
pub(crate) fn without_folder_markers(page: &str) -> String {
    let (start, end) = match page.contains("<Blobs>") {
        true => ("<Blob>", "</Blob>"),
        false => ("<Contents>", "</Contents>"),
    };
    page.split_inclusive(end)
        .map(|piece| match piece.split_once(start) {
            Some((before, object)) if is_folder_marker(object) => before,
            _ => piece,
        })
        .collect()
}

fn is_folder_marker(object: &str) -> bool {
    let name = element(object, "Key").or_else(|| element(object, "Name"));
    let size = element(object, "Size").or_else(|| element(object, "Content-Length"));
    size == Some("0") && name.is_some_and(|name| name.ends_with('/'))
}

/// The text of the first element of that name, up to whatever markup comes next.
fn element<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = page.split_once(&format!("<{name}>"))?;
    rest.split('<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(more: bool, next: &str) -> String {
        format!(
            "<ListBucketResult><IsTruncated>{more}</IsTruncated>\
             <NextContinuationToken>{next}</NextContinuationToken></ListBucketResult>"
        )
    }

    #[test]
    fn a_page_says_how_to_go_on_and_not_by_itself() {
        assert_eq!(check(&page(true, "b"), None), Ok(()));
        assert_eq!(check(&page(true, "b"), Some("a")), Ok(()));
        assert_eq!(check(&page(false, ""), Some("a")), Ok(()));
        assert_eq!(check("<ListBucketResult/>", None), Ok(()));
        assert!(check(&page(true, ""), None).unwrap_err().contains("does not say how to go on"));
        assert!(check("<IsTruncated>true</IsTruncated>", Some("a")).is_err());
        assert!(check(&page(true, "<NextContinuationToken>"), None).is_err(), "markup is no token");
        assert!(check(&page(true, "a"), Some("a")).unwrap_err().contains("that page again"));
    }

    #[test]
    fn empty_objects_that_stand_for_folders_are_left_out() {
        let object =
            |key: &str, size: u32| format!("<Contents><Key>{key}</Key><Size>{size}</Size></Contents>");
        let page = |objects: &[String]| format!("<ListBucketResult>{}</ListBucketResult>", objects.concat());
        let (file, empty, odd) = (object("a/b", 1), object("a/c", 0), object("a/d/", 1));
        let listed = [object("a/", 0), file.clone(), object("a/b/", 0), empty.clone(), odd.clone()];
        assert_eq!(without_folder_markers(&page(&listed)), page(&[file, empty, odd]));
        let blob = |name: &str| {
            format!(
                "<Blob><Name>{name}</Name><Properties><Content-Length>0</Content-Length></Properties></Blob>"
            )
        };
        let container = |blobs: &[String]| format!("<Blobs>{}</Blobs><NextMarker />", blobs.concat());
        assert_eq!(without_folder_markers(&container(&[blob("a/"), blob("a")])), container(&[blob("a")]));
    }

    #[test]
    fn pages_are_counted_for_each_listing() {
        let pages = Pages::default();
        for _ in 0..2 {
            assert!((0..Limits::DEFAULT.pages).all(|number| pages.count(number == 0).is_ok()));
            assert!(pages.count(false).is_err());
        }
    }
}
