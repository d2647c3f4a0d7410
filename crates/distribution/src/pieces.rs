//! What comes over a connection in pieces of any size, for readers that ask for others.

use bytes::{Buf, Bytes};

use crate::Result;
use crate::http::Answer;

/// Gives as much of a piece as there is room for, and leaves the rest in it.
pub(crate) fn take(piece: &mut Bytes, buffer: &mut [u8]) -> usize {
    let count = buffer.len().min(piece.len());
    piece.copy_to_slice(buffer.get_mut(..count).unwrap_or_default());
    count
}

/// Reads over the beginning of an answer. Gives what is left of the last piece, and how much of the beginning did not come.
pub(crate) fn skip(answer: &mut Answer<'_>, mut left: u64) -> Result<(Bytes, u64)> {
    let mut piece = Bytes::new();
    while left > 0 {
        let Some(next) = answer.piece()? else { break };
        piece = next;
        let known = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        piece.advance(known);
        left -= known as u64;
    }
    Ok((piece, left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_read_in_any_portions() {
        let mut piece = Bytes::from_static(b"abcde");
        let mut buffer = [0; 3];
        assert_eq!((take(&mut piece, &mut buffer), buffer), (3, *b"abc"));
        assert_eq!((take(&mut piece, &mut buffer), buffer), (2, *b"dec"));
        assert_eq!(take(&mut piece, &mut buffer), 0);
        assert_eq!(take(&mut piece, &mut []), 0);
    }
}
