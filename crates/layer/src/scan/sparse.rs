//! Sparse files: which pieces of them an archive stores (ST-056).

use super::input::{Collector, Input};
use super::pax::decimal;
use crate::Result;
use crate::limits::MAX_PIECES;
use crate::tar_writer::header::BLOCK;

/// Refuses maps that no file has.
pub(super) fn check_count<C: Collector>(input: &Input<'_, C>, count: u64) -> Result<()> {
    if count > MAX_PIECES {
        return Err(input.refuse(format!("it is a sparse file of more than {MAX_PIECES} pieces")));
    }
    Ok(())
}

/// Reads the map that version 1.0 has at the beginning of the data; gives it, and how many bytes of the data it takes.
pub(super) fn map_in_data<C: Collector>(
    input: &mut Input<'_, C>,
    size: u64,
) -> Result<(Vec<(u64, u64)>, u64)> {
    let mut numbers = Numbers { text: Vec::new(), used: 0, size };
    let count = numbers.next(input)?;
    check_count(input, count)?;
    let mut map = Vec::new();
    for _ in 0..count {
        map.push((numbers.next(input)?, numbers.next(input)?));
    }
    Ok((map, numbers.used))
}

/// Decimal numbers, a line each, in blocks.
struct Numbers {
    /// What was read and not used yet.
    text: Vec<u8>,
    /// How many bytes were read.
    used: u64,
    /// How many there are.
    size: u64,
}

impl Numbers {
    fn next<C: Collector>(&mut self, input: &mut Input<'_, C>) -> Result<u64> {
        const WRONG: &str = "its map of stored pieces is malformed";
        loop {
            if let Some(end) = self.text.iter().take(21).position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.text.drain(..=end).take(end).collect();
                return decimal(&line).map_err(|_| input.refuse(WRONG));
            }
            if self.text.len() > 20 || self.used + BLOCK as u64 > self.size {
                return Err(input.refuse(WRONG));
            }
            let block = input.block()?.ok_or_else(|| input.refuse("the archive ends within it"))?;
            self.text.extend_from_slice(&block);
            self.used += BLOCK as u64;
        }
    }
}

/// Checks a map against the sizes, and drops empty pieces; `None` when the file has no holes.
pub(super) fn normal(
    size: u64,
    map: Vec<(u64, u64)>,
    stored: u64,
) -> Result<Option<Vec<(u64, u64)>>, &'static str> {
    let (mut end, mut sum) = (0u64, 0u64);
    for (place, length) in &map {
        if *place < end {
            return Err("its stored pieces overlap");
        }
        end = place
            .checked_add(*length)
            .filter(|end| *end <= size)
            .ok_or("a stored piece lies behind its end")?;
        sum += length;
    }
    if sum != stored {
        return Err("its stored pieces do not have the size of its data");
    }
    if stored == size {
        return Ok(None);
    }
    Ok(Some(map.into_iter().filter(|(_, length)| *length > 0).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_056_maps() {
        for (size, map, stored, expected) in [
            (10, vec![(0, 10)], 10, Ok(None)),
            (10, vec![(0, 4), (4, 6), (10, 0)], 10, Ok(None)),
            (10, vec![(2, 3), (10, 0)], 3, Ok(Some(vec![(2, 3)]))),
            (10, vec![], 0, Ok(Some(vec![]))),
            (0, vec![], 0, Ok(None)),
            (10, vec![(2, 3), (4, 1)], 4, Err(())),
            (10, vec![(8, 3)], 3, Err(())),
            (10, vec![(2, 3)], 4, Err(())),
            (10, vec![(u64::MAX, 2)], 2, Err(())),
        ] {
            assert_eq!(normal(size, map.clone(), stored).map_err(drop), expected, "{size} {map:?}");
        }
    }
}
