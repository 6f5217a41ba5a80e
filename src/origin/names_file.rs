//! A file of names: the values of one parameter, a line each.

use std::{fs::File, io::Read};

use super::{NAMES_MAX, OriginError};
use crate::listing::{ListingName, definition::Names};

/// The largest file that is taken: as many names as an origin may give, at their longest.
const FILE_BYTES_MAX: u64 = (NAMES_MAX * (ListingName::BYTES_MAX + 1)) as u64;

/// Reads the file again: whoever maintains it need not restart anything.
pub async fn names_in_file(path: &str) -> Result<Vec<Vec<String>>, OriginError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        File::open(&path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let text = match read.await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(OriginError::Unavailable(error.into())),
        Err(error) => return Err(OriginError::Unavailable(error.into())),
    };
    Ok(Names::lines(&text).map(|(_, line)| vec![line.to_owned()]).collect())
}
