//! A file of names: the values of one parameter, a line each.

use std::path::Path;

use super::OriginError;
use crate::{config::read_names_file, listing::definition::Names};

/// Reads the file again: after a change of it no restart is needed.
pub async fn names_in_file(path: &str) -> Result<Vec<Vec<String>>, OriginError> {
    let path = path.to_owned();
    let file = path.clone();
    let read = tokio::task::spawn_blocking(move || read_names_file(Path::new(&file)));
    let text = match read.await {
        Ok(Ok(text)) => text,
        Ok(Err(source)) => return Err(OriginError::NamesFile { path, source }),
        Err(error) => return Err(OriginError::Unavailable(error.into())),
    };
    Ok(Names::lines(&text).map(|(_, line)| vec![line.to_owned()]).collect())
}
