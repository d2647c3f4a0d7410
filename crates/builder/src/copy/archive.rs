//! Recognising archives, by what they contain and not by their names (DF-135).

use std::io::Read;

/// The size of a tar header.
const HEADER: usize = 512;

/// Whether a file is a tar, perhaps compressed. One that is damaged before its first entry is none: ADD copies it as it is.
pub(super) fn is_archive(file: Box<dyn Read + Send + '_>) -> bool {
    let Ok((_, reader)) = layer::decompress::reader(file) else { return false };
    let mut header = Vec::with_capacity(HEADER);
    let read = reader.take(HEADER as u64).read_to_end(&mut header);
    read.is_ok() && is_tar_header(&header)
}

/// Whether the checksum is right, as bytes are summed today or as they were with signs.
fn is_tar_header(header: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(field) = header.get(CHECKSUM).filter(|_| header.len() == HEADER) else { return false };
    let digits: Vec<u8> =
        field.iter().copied().skip_while(|byte| *byte == b' ').take_while(u8::is_ascii_digit).collect();
    let Some(stated) =
        std::str::from_utf8(&digits).ok().and_then(|digits| i64::from_str_radix(digits, 8).ok())
    else {
        return false;
    };
    let summed = |value: fn(u8) -> i64| -> i64 {
        let bytes = header.iter().enumerate();
        bytes.map(|(place, byte)| value(if CHECKSUM.contains(&place) { b' ' } else { *byte })).sum()
    };
    stated == summed(i64::from) || stated == summed(|byte| i64::from(byte.cast_signed()))
}
