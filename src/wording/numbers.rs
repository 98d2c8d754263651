//! Numbers and sizes.

/// `1,234,567`
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 backup`, `2 backups`, `3 policies`
pub fn count(count: u64, noun: &str) -> String {
    let number = number(count);
    match noun
        .strip_suffix('y')
        .filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']))
    {
        _ if count == 1 => format!("{number} {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// A size in binary units with one digit behind the point: `1.0 GiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut whole, mut rest, mut unit) = (bytes / 1024, bytes % 1024, 0);
    while whole >= 1024 && unit + 1 < UNITS.len() {
        (whole, rest, unit) = (whole / 1024, whole % 1024, unit + 1);
    }
    // Cut, not rounded: 1023.99 MiB is no 1024.0.
    format!("{whole}.{} {}", rest * 10 / 1024, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_are_short() {
        assert_eq!(
            [number(0), number(999), number(1_000), number(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [count(1, "backup"), count(1_200, "backup"), count(0, "day")],
            ["1 backup", "1,200 backups", "0 days"]
        );
        assert_eq!([count(1, "policy"), count(3, "policy")], ["1 policy", "3 policies"]);
        let sizes = [0, 1_023, 1_024, 1_536, 1_073_741_823, 1 << 30, u64::MAX].map(size);
        let wanted = [
            "0 B",
            "1023 B",
            "1.0 KiB",
            "1.5 KiB",
            "1023.9 MiB",
            "1.0 GiB",
            "15.9 EiB",
        ];
        assert_eq!(sizes, wanted);
    }
}
