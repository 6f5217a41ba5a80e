//! `/openapi.json`: the description of the interface, written anew when the declaration was replaced.

use actix_web::{
    HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use parking_lot::Mutex;

/// The description, with the edition of the declaration that it is of.
pub(crate) struct Description {
    edition: Box<dyn Fn() -> u64 + Send + Sync>,
    write: Box<dyn Fn() -> String + Send + Sync>,
    written: Mutex<Option<(u64, Bytes)>>,
}

impl Description {
    /// A description of what `write` says, for as long as `edition` stays the same.
    pub(crate) fn new(
        edition: impl Fn() -> u64 + Send + Sync + 'static,
        write: impl Fn() -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            edition: Box::new(edition),
            write: Box::new(write),
            written: Mutex::default(),
        }
    }

    /// The text for the present declaration. It is written under the lock: a replacement costs one writing, however many ask.
    fn text(&self) -> Bytes {
        let mut written = self.written.lock();
        // The edition is read first: if the declaration is replaced meanwhile, the text is written once more.
        let edition = (self.edition)();
        match &*written {
            Some((of, text)) if *of == edition => text.clone(),
            _ => {
                let text = Bytes::from((self.write)());
                *written = Some((edition, text.clone()));
                text
            }
        }
    }
}

/// This description.
///
/// Made from the code and from the configuration that is in use: its bounds, variants, filters and sorts.
#[utoipa::path(
    method(get, head),
    path = "/openapi.json",
    operation_id = "getDescription",
    tag = "operations",
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn description(description: Data<Description>) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .insert_header((header::CACHE_CONTROL, "max-age=60"))
        .body(description.text())
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[test]
    fn the_description_is_written_once_a_declaration() {
        let (edition, writings) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (of, counted) = (edition.clone(), writings.clone());
        let description = Description::new(
            move || of.load(Ordering::SeqCst),
            move || counted.fetch_add(1, Ordering::SeqCst).to_string(),
        );
        assert_eq!((description.text(), description.text()), ("0".into(), "0".into()));
        edition.store(1, Ordering::SeqCst);
        assert_eq!((description.text(), description.text()), ("1".into(), "1".into()));
        assert_eq!(writings.load(Ordering::SeqCst), 2);
    }
}
