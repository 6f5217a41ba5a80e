//! The `Date` of answers, written once a second in each worker. For HTTP/1.1 the framework does the same.

use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

use actix_web::http::header::HeaderValue;

thread_local! {
    static WRITTEN: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
}

/// The date of an answer that begins now.
pub(crate) fn now() -> HeaderValue {
    let now = SystemTime::now();
    let second = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    WRITTEN.with_borrow_mut(|written| match written {
        Some((of, date)) if *of == second => date.clone(),
        _ => {
            // A date is nothing but letters, digits and their punctuation.
            let date = HeaderValue::try_from(httpdate::fmt_http_date(now))
                .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
            *written = Some((second, date.clone()));
            date
        }
    })
}
