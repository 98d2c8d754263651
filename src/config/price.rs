//! `price`: what storage costs, so that money is shown beside bytes.

use super::reader::{Cursor, Fields};
use super::spec::PRICE;
use super::yaml::clip;
use crate::wording::money::Price;

/// The longest currency; a sign or a code.
const LONGEST_CURRENCY: usize = 8;

/// The price, where there is one.
pub(super) fn read(fields: &Fields<'_>) -> Option<Price> {
    let section = fields.get("price")?.section(&PRICE)?;
    let amount = section.get("per_gib_month")?;
    let currency = section.get("currency").and_then(currency);
    let written = amount.scalar("a number, as 0.02")?;
    let price = Price::new(written, currency.unwrap_or_default());
    if price.is_none() {
        amount.fail(
            format!("`{}` is no price of a GiB", clip(written)),
            "write a decimal number above 0 with at most six decimal places, as 0.02",
        );
    }
    currency.and(price)
}

fn currency<'t>(at: &Cursor<'t>) -> Option<&'t str> {
    let text = at.text()?;
    if text.chars().count() <= LONGEST_CURRENCY && !text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some(text);
    }
    at.fail(
        format!("`{}` is no currency", clip(text)),
        "write its code or sign, as USD: at most 8 characters and no blanks",
    );
    None
}
