//! A picture as PNG (RFC 2083): eight bits a colour, no filter, one piece of data.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};

use super::Outcome;

/// From red, green and blue of each pixel, line after line.
pub fn encode(rgb: &[u8], (width, height): (u32, u32)) -> Outcome<Vec<u8>> {
    let line_bytes = width as usize * 3;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::best());
    for line in rgb.chunks(line_bytes) {
        // Filter type 0: none.
        packed.write_all(&[0])?;
        packed.write_all(line)?;
    }
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // Depth 8, colour type 2 (RGB), the only packing and filtering there are, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", packed.finish()?), (b"IEND", Vec::new())] {
        file.extend(u32::try_from(data.len())?.to_be_bytes());
        let body = [kind.as_slice(), &data].concat();
        file.extend(&body);
        file.extend(crc32fast::hash(&body).to_be_bytes());
    }
    Ok(file)
}
