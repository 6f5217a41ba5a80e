//! A file of names: the values of one parameter, a line each.

use std::{fs::File, io::Read};

use super::{NAMES_BYTES_MAX, OriginError};
use crate::listing::definition::Names;

/// The largest file that is taken.
const FILE_BYTES_MAX: u64 = NAMES_BYTES_MAX as u64;

/// Reads the file again: whoever maintains it need not restart anything.
pub async fn names_in_file(path: &str) -> Result<Vec<Vec<String>>, OriginError> {
    let path = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        // A byte more than may be there shows that there is more: half the names would hide the rest.
        let read = File::open(&path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if read as u64 > FILE_BYTES_MAX {
            let reason = format!("the file of names has more than {FILE_BYTES_MAX} bytes");
            return Err(std::io::Error::other(reason));
        }
        Ok::<_, std::io::Error>(text)
    });
    let text = match read.await {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return Err(OriginError::Unavailable(error.into())),
        Err(error) => return Err(OriginError::Unavailable(error.into())),
    };
    Ok(Names::lines(&text).map(|(_, line)| vec![line.to_owned()]).collect())
}
