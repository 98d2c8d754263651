//! Whether an answer is packed: by what its reader says that it takes (RFC 9110, 12.5.3).
//!
//! Not for what is served.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Whether gzip is asked for, by all `Accept-Encoding` lines together: named, or taken in by `*`, with a weight that is not zero and not
/// below that of an unpacked answer.
pub(super) fn wants_gzip(accept: &str) -> bool {
    let (mut gzip, mut any, mut identity) = (None, None, None);
    for part in accept.split(',') {
        let mut words = part.split(';').map(str::trim);
        let coding = words.next().unwrap_or_default().to_ascii_lowercase();
        let weight = words.find_map(|word| {
            let (name, value) = word.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then_some(value.trim())
        });
        // A weight that cannot be read asks for nothing.
        let weight = weight
            .map_or(Some(1.0), |text| text.parse::<f32>().ok())
            .filter(|it| (0.0..=1.0).contains(it));
        let weight = weight.unwrap_or(0.0);
        match coding.as_str() {
            "gzip" | "x-gzip" => gzip = Some(weight),
            "*" => any = Some(weight),
            "identity" => identity = Some(weight),
            _ => {}
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// The packed text; `None` if packing fails, which it does not in memory.
pub(super) fn gzip(text: &[u8]) -> Option<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::with_capacity(text.len() / 8), Compression::fast());
    packer.write_all(text).ok()?;
    packer.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_who_asks_for_it() {
        for (accept, wanted) in [
            ("gzip", true),
            ("GZIP;q=1.0, deflate", true),
            ("deflate, gzip;q=0.001", true),
            ("*", true),
            ("br, *;q=0.5", true),
            ("identity;q=0.5, gzip;q=0.6", true),
            ("identity, gzip", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000, *", false),
            ("*;q=0", false),
            ("gzip;q=0.5, identity;q=1", false),
            ("gzip;q=loud", false),
            ("notgzip", false),
        ] {
            assert_eq!(wants_gzip(accept), wanted, "{accept:?}");
        }
    }

    #[test]
    fn what_is_packed_is_the_same_unpacked() {
        use std::io::Read as _;
        let text = "rds_retention_backups{policy=\"p\"} 1\n".repeat(1_000);
        let packed = gzip(text.as_bytes()).unwrap();
        assert!(packed.len() * 20 < text.len(), "{}", packed.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed)
            .read_to_string(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, text);
    }
}
