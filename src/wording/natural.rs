//! The order in which people look for names: `prod-2` before `prod-12`.

use std::cmp::Ordering;

/// A name that compares by the numbers in it. Names that differ only in leading zeros compare as text, so that no two names are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Natural<'a>(pub &'a str);

impl Ord for Natural<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (mut a, mut b) = (self.0, other.0);
        while !a.is_empty() && !b.is_empty() {
            let (left, right) = (part(&mut a), part(&mut b));
            let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
            let order = if is_number(left) && is_number(right) {
                let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
                // Of two numbers without leading zeros the longer one is larger.
                left.len().cmp(&right.len()).then_with(|| left.cmp(right))
            } else {
                left.cmp(right)
            };
            if order.is_ne() {
                return order;
            }
        }
        a.len().cmp(&b.len()).then_with(|| self.0.cmp(other.0))
    }
}

impl PartialOrd for Natural<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Takes the digits, or everything up to the next digit, from the beginning.
fn part<'a>(rest: &mut &'a str) -> &'a str {
    let is_digit = |c: char| c.is_ascii_digit();
    let begins_with_digit = rest.starts_with(is_digit);
    let end = rest
        .find(|c: char| is_digit(c) != begins_with_digit)
        .unwrap_or(rest.len());
    let (taken, left) = rest.split_at(end);
    *rest = left;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_as_numbers() {
        let mut names = [
            "prod-12",
            "prod-2",
            "prod-100-b",
            "prod-100-a",
            "a",
            "prod-",
            "prod-02",
            "夜2",
            "夜10",
        ];
        names.sort_by_key(|name| Natural(name));
        assert_eq!(
            names,
            [
                "a",
                "prod-",
                "prod-02",
                "prod-2",
                "prod-12",
                "prod-100-a",
                "prod-100-b",
                "夜2",
                "夜10"
            ]
        );
        let huge = ["v99999999999999999999999999", "v100000000000000000000000000"];
        assert!(Natural(huge[0]) < Natural(huge[1]));
    }
}
