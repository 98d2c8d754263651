//! The write-ahead log as a process that opens the ledger next would recover it, read from the file alone.
//!
//! SQLite itself does not look: as long as one process has the ledger open, all find the log's pages through the shared index
//! beside it, and nothing shows that the file was cut, overwritten or exchanged for an older copy. What is committed then
//! is gone when the last process ends. The format is part of SQLite's file format (<https://sqlite.org/fileformat2.html>,
//! section 4): each frame's checksum covers all frames before it, so one that is damaged ends the log.

use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// Either, by the byte order in which checksums are made: the last bit says which.
const MAGIC: u32 = 0x377f_0682;
/// The largest page there is.
const LARGEST_PAGE: u32 = 65_536;

type Sums = (u32, u32);

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// How many frames lie before it.
    frames: u64,
    /// The checksum of all of them.
    sums: Sums,
}

/// A log that can be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Changed each time the log restarts.
    salts: Sums,
    /// Before the last frame that counts: that one is read again by the next [`Log::read_on`].
    before_last: Place,
    /// After the last frame that ends a transaction.
    end: Place,
}

impl Log {
    /// Reads the whole log; `None` where there is none that could be recovered. Also whether all of `known` is in it.
    pub(super) fn read(path: &Path, known: Option<&Self>) -> io::Result<(Option<Self>, bool)> {
        let mut is_in_it = false;
        let found = scan(path, None, |place| {
            is_in_it |= known.is_some_and(|known| known.end == place);
        })?;
        let is_in_it = is_in_it
            && found
                .zip(known.copied())
                .is_some_and(|(found, known)| found.is_same_as(&known));
        Ok((found, is_in_it))
    }

    /// As [`Self::read`], but what is known is believed, except for the header and the last frame.
    pub(super) fn read_on(&self, path: &Path) -> io::Result<Option<Self>> {
        scan(path, Some(self), |_| ())
    }

    /// Whether both were begun at the same time.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.salts == other.salts
    }

    /// Whether it was begun after that one: SQLite mostly adds one to the first salt each time, and else takes another one at
    /// random.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        (1..1_000).contains(&self.salts.0.wrapping_sub(other.salts.0))
    }

    /// Whether it has any transaction.
    pub(super) fn has_any(&self) -> bool {
        self.end.frames > 0
    }

    /// Whether it has at least as many frames as that one, or more.
    pub(super) fn is_longer_than(&self, other: &Self, has_more: bool) -> bool {
        self.end.frames >= other.end.frames + u64::from(has_more)
    }
}

/// Reads frame after frame, from the last one that is known on if the log is still the same, until one is not whole. Tells
/// of each place between two.
fn scan(path: &Path, known: Option<&Log>, mut tell: impl FnMut(Place)) -> io::Result<Option<Log>> {
    let mut file = match super::state_file::open_file(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? {
        return Ok(None);
    }
    let [magic, _, size, _, salt_1, salt_2, sum_1, sum_2] = std::array::from_fn(|nth| word(&header, nth));
    let is_big_endian = magic == MAGIC | 1;
    let sums = checksum((0, 0), &header[..HEADER - 8], is_big_endian);
    if magic & !1 != MAGIC || sums != (sum_1, sum_2) || !size.is_power_of_two() || size > LARGEST_PAGE {
        return Ok(None);
    }
    let salts = (salt_1, salt_2);
    let start = Place { frames: 0, sums };
    let mut place = known
        .filter(|known| known.salts == salts)
        .map_or(start, |known| known.before_last);
    let mut log = Log {
        salts,
        before_last: place,
        end: place,
    };
    let mut frame = vec![0; FRAME_HEADER + usize::try_from(size).map_err(io::Error::other)?];
    let length = u64::try_from(frame.len()).map_err(io::Error::other)?;
    let begin = place.frames.saturating_mul(length).saturating_add(32);
    file.seek(SeekFrom::Start(begin))?;
    tell(place);
    while fill(&mut file, &mut frame)? {
        let [_, pages, salt_1, salt_2, sum_1, sum_2] = std::array::from_fn(|nth| word(&frame, nth));
        let sums = checksum(place.sums, &frame[..8], is_big_endian);
        let sums = checksum(sums, &frame[FRAME_HEADER..], is_big_endian);
        if (salt_1, salt_2) != salts || sums != (sum_1, sum_2) {
            break;
        }
        let before_last = place;
        place = Place {
            frames: place.frames + 1,
            sums,
        };
        tell(place);
        // The size of the file after a transaction stands in its last frame, and zero in others.
        if pages != 0 {
            log = Log {
                before_last,
                end: place,
                ..log
            };
        }
    }
    Ok(Some(log))
}

/// Whether there was that much to read.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The number at that place; all that SQLite writes into a header are of this order.
fn word(bytes: &[u8], nth: usize) -> u32 {
    let bytes = bytes.get(nth * 4..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn checksum(before: Sums, bytes: &[u8], is_big_endian: bool) -> Sums {
    let number = |four: [u8; 4]| {
        if is_big_endian {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        }
    };
    let (eights, _) = bytes.as_chunks::<8>();
    eights
        .iter()
        .fold(before, |(first, second), &[a, b, c, d, e, f, g, h]| {
            let first = first.wrapping_add(number([a, b, c, d])).wrapping_add(second);
            (first, second.wrapping_add(number([e, f, g, h])).wrapping_add(first))
        })
}
