//! Money: what storage costs a month.

use serde::{Serialize, Serializer};

const GIB: u128 = 1 << 30;
/// Millionths of the currency.
const MICROS: u64 = 1_000_000;
/// More is a typing error.
const MOST: u64 = 1_000_000;

/// What a GiB costs a month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    micros: u64,
    currency: String,
}

impl Price {
    /// From a decimal number as it is written (`0.02`) and a currency; `None` where it is zero, negative, too large, or has more than six
    /// decimal places.
    pub fn new(per_gib_month: &str, currency: &str) -> Option<Self> {
        let (whole, decimals) = per_gib_month.split_once('.').unwrap_or((per_gib_month, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 6 {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|whole| *whole <= MOST)?;
        let decimals: u64 = format!("{decimals:0<6}").parse().ok()?;
        let micros = whole * MICROS + decimals;
        (micros > 0).then(|| Self {
            micros,
            currency: currency.to_owned(),
        })
    }

    /// What so many bytes cost a month: `1,234.56 USD`.
    pub fn of(&self, bytes: u64) -> String {
        let micros = u128::from(bytes) * u128::from(self.micros) / GIB;
        let hundredths = (micros + 5_000) / 10_000;
        if micros > 0 && hundredths == 0 {
            return format!("under 0.01 {}", self.currency);
        }
        let whole = super::numbers::number(u64::try_from(hundredths / 100).unwrap_or(u64::MAX));
        format!("{whole}.{:02} {}", hundredths % 100, self.currency)
    }
}

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            per_gib_month: f64,
            currency: &'a str,
        }
        #[expect(clippy::cast_precision_loss, reason = "at most 10^12")]
        let per_gib_month = self.micros as f64 / MICROS as f64;
        View {
            per_gib_month,
            currency: &self.currency,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_costs_what_its_gib_cost_to_the_cent() {
        let price = Price::new("0.02", "USD").unwrap();
        let costs = [0, 1, 1 << 28, 1 << 30, 100 << 30, 61_728 << 30].map(|bytes| price.of(bytes));
        let wanted = [
            "0.00 USD",
            "0.00 USD",
            "0.01 USD",
            "0.02 USD",
            "2.00 USD",
            "1,234.56 USD",
        ];
        assert_eq!(costs, wanted);
        assert_eq!(price.of(1 << 26), "under 0.01 USD");
        assert_eq!(
            Price::new("1000000", "CNY").unwrap().of(u64::MAX),
            "17,179,869,184,000,000.00 CNY"
        );
        assert_eq!(
            serde_json::to_string(&price).unwrap(),
            r#"{"per_gib_month":0.02,"currency":"USD"}"#
        );
    }

    #[test]
    fn what_is_no_price_is_none() {
        for text in [
            "",
            ".",
            "0",
            "0.000000",
            "-1",
            "1e-2",
            "0.0000001",
            "1,5",
            "1000001",
            "0.02 ",
            "٠.٢",
        ] {
            assert_eq!(Price::new(text, "USD"), None, "{text}");
        }
        for text in ["0.02", "1", "0.000001", "12.5"] {
            assert!(Price::new(text, "USD").is_some(), "{text}");
        }
    }
}
