//! Answers of a service, taken apart.

use reqwest::Response;

/// The value of a header, which must not stand twice; an empty text where it is absent.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    let values: Vec<&str> = response
        .headers()
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect();
    match values[..] {
        [] => "",
        [value] => value,
        _ => panic!("{name} stands more than once: {values:?}"),
    }
}
