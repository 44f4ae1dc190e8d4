//! A form with one file in it, as browsers and `curl -F` send it: the file alone, and what it is by its name.
//!
//! What must not live here: where the file is kept, how large it may be, what is done with it.

use crate::ask::bad;
use axum::body::Body;
use bytes::Bytes;
use camlock_http::Problem;
use futures_util::stream::unfold;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use multer::{Field, Multipart};
use std::io;
use utoipa::ToSchema;

/// A form, for the document.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it is only described")]
pub(super) struct UploadForm {
    /// A library (`.so`) or an archive of sources (`.tar.gz`, `.tgz`, `.zip`), with its name.
    #[schema(content_media_type = "application/octet-stream")]
    file: String,
}

/// The content type, in small letters and without its parameters, and what was sent; of a form, those of the file in it.
pub(super) async fn unwrapped(headers: &HeaderMap, body: Body) -> Result<(String, Body), Problem> {
    let sent = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    let sent = String::from_utf8_lossy(sent).into_owned();
    let kind = essence(&sent);
    if kind != "multipart/form-data" {
        return Ok((kind, body));
    }
    let boundary = multer::parse_boundary(&sent).map_err(|error| bad(format!("the form cannot be read: {error}")))?;
    let mut form = Multipart::new(body.into_data_stream(), boundary);
    let field = form.next_field().await.map_err(|error| bad(format!("the form cannot be read: {error}")))?;
    let Some(field) = field.filter(|field| field.file_name().is_some_and(|name| !name.is_empty())) else {
        return Err(bad("the form has to have one field, a file with its name: `curl -F file=@hello.tar.gz`"));
    };
    let kind = kind_of(&field)?;
    Ok((kind, file_alone(form, field)))
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// By the file's name; browsers guess the content type of what they send by other rules.
fn kind_of(field: &Field<'_>) -> Result<String, Problem> {
    let name = field.file_name().unwrap_or_default().to_ascii_lowercase();
    let by_name = [
        (".so", "application/octet-stream"),
        (".tar.gz", "application/gzip"),
        (".tgz", "application/gzip"),
        (".zip", "application/zip"),
    ];
    match by_name.iter().find(|(end, _)| name.ends_with(end)) {
        Some((_, kind)) => Ok((*kind).to_owned()),
        None => {
            let detail = format!("`{name}` cannot be installed: send a `.so` file, a `.tar.gz` or a `.zip`");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
        }
    }
}

/// The file's bytes. They end well only if the form does, and if there was no other file in it.
fn file_alone(form: Multipart<'static>, field: Field<'static>) -> Body {
    let bytes = unfold(Some((form, field)), async |state| {
        let (mut form, mut field) = state?;
        match field.chunk().await {
            Ok(Some(chunk)) => return Some((Ok(chunk), Some((form, field)))),
            Ok(None) => drop(field),
            Err(error) => return Some((Err(io::Error::other(error)), None)),
        }
        match form.next_field().await {
            Ok(None) => None,
            Ok(Some(_)) => Some((Err(io::Error::other("there is more in the form than one file")), None)),
            Err(error) => Some((Err::<Bytes, _>(io::Error::other(error)), None)),
        }
    });
    Body::from_stream(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    const FILE: &str = "--x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"NAME\"\r\n\r\nbytes\r\n";

    /// What comes of a form: the content type and the bytes, or why not.
    async fn sent(form: &str) -> Result<(String, Bytes), String> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "Multipart/Form-Data; boundary=x".parse().unwrap())]);
        // However it is cut.
        let chunks: Vec<_> = form.as_bytes().chunks(7).map(|chunk| Ok::<_, io::Error>(chunk.to_vec())).collect();
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let (kind, body) = unwrapped(&headers, body).await.map_err(|problem| format!("{problem:?}"))?;
        let bytes = body.collect().await.map_err(|error| error.to_string())?;
        Ok((kind, bytes.to_bytes()))
    }

    #[tokio::test]
    async fn the_file_s_name_says_what_it_is() {
        for (name, expected) in [
            ("hello.so", Some("application/octet-stream")),
            ("hello-1.0.tar.gz", Some("application/gzip")),
            ("HELLO.TGZ", Some("application/gzip")),
            ("hello.zip", Some("application/zip")),
            ("hello.exe", None),
        ] {
            let outcome = sent(&format!("{}--x--\r\n", FILE.replace("NAME", name))).await;
            match expected {
                Some(kind) => assert_eq!(outcome, Ok((kind.to_owned(), Bytes::from_static(b"bytes"))), "{name}"),
                None => assert!(outcome.unwrap_err().contains("`hello.exe` cannot be installed"), "{name}"),
            }
        }
    }

    #[tokio::test]
    async fn a_form_that_is_not_one_whole_file_is_refused() {
        let file = FILE.replace("NAME", "hello.so");
        let field = "--x\r\ncontent-disposition: form-data; name=\"replace\"\r\n\r\ntrue\r\n";
        for (form, expected) in [
            ("--x--\r\n".to_owned(), "one field, a file with its name"),
            (format!("{field}--x--\r\n"), "one field, a file with its name"),
            (format!("{file}{field}--x--\r\n"), "more in the form than one file"),
            (format!("{file}{file}--x--\r\n"), "more in the form than one file"),
            ("nonsense".to_owned(), "the form cannot be read"),
            (file.clone(), "incomplete"),
            (file[..file.len() - 4].to_owned(), "incomplete"),
        ] {
            let why = sent(&form).await.unwrap_err();
            assert!(why.contains(expected), "{form:?}: {why}");
        }
    }

    #[tokio::test]
    async fn what_is_no_form_stays_as_it_is() {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "Application/Zip; x=y".parse().unwrap())]);
        let (kind, body) = unwrapped(&headers, Body::from("PK")).await.ok().unwrap();
        assert_eq!((&*kind, &*body.collect().await.unwrap().to_bytes()), ("application/zip", &b"PK"[..]));
    }
}
