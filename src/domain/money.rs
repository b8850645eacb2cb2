//! Prices as shops write them: `15.00 USD`, `€ 1.234,50`, `49,-`.

use super::text::clean;

/// An amount, and its currency where the text says one.
#[derive(Clone, Debug, PartialEq)]
pub struct Money {
    /// Finite, not negative.
    pub amount: f64,
    /// As ISO 4217 writes it.
    pub currency: Option<String>,
}

/// Signs that stand for one currency. `$`, `¥` and `kr` stand for several: they are passed over.
const SIGNS: [(&str, Option<&str>); 19] = [
    ("US$", Some("USD")),
    ("A$", Some("AUD")),
    ("C$", Some("CAD")),
    ("R$", Some("BRL")),
    ("€", Some("EUR")),
    ("£", Some("GBP")),
    ("₹", Some("INR")),
    ("₽", Some("RUB")),
    ("₺", Some("TRY")),
    ("₩", Some("KRW")),
    ("₴", Some("UAH")),
    ("₪", Some("ILS")),
    ("zł", Some("PLN")),
    ("Kč", Some("CZK")),
    ("$", None),
    ("¥", None),
    ("kr.", None),
    ("kr", None),
    ("Fr.", None),
];

impl Money {
    /// `decimal`: the character before the decimals, where it is known; else it is seen in the
    /// number. A single comma before three digits then parts thousands, a single point does not.
    #[must_use]
    pub fn parse(text: &str, decimal: Option<char>) -> Option<Self> {
        let text = clean(text);
        let (rest, currency) = without_currency(&text);
        let amount = number(rest.trim(), decimal)?;
        Some(Self { amount, currency })
    }
}

fn without_currency(text: &str) -> (&str, Option<String>) {
    for (sign, currency) in SIGNS {
        let rest = text.strip_prefix(sign).or_else(|| text.strip_suffix(sign));
        if let Some(rest) = rest {
            return (rest, currency.map(str::to_owned));
        }
    }
    let is_code = |code: &str| code.bytes().all(|b| b.is_ascii_alphabetic());
    let next_to_number = |c: Option<char>| c.is_some_and(|c| c == ' ' || c.is_ascii_digit());
    if let Some((code, rest)) = text.split_at_checked(3)
        && is_code(code)
        && next_to_number(rest.chars().next())
    {
        return (rest, Some(code.to_uppercase()));
    }
    if let Some((rest, code)) = text.split_at_checked(text.len().saturating_sub(3))
        && is_code(code)
        && next_to_number(rest.chars().next_back())
    {
        return (rest, Some(code.to_uppercase()));
    }
    (text, None)
}

fn number(text: &str, decimal: Option<char>) -> Option<f64> {
    // "49,-" is 49, as is "49.–".
    let text = text
        .strip_suffix(['-', '–', '—'])
        .map_or(text, |round| round.strip_suffix([',', '.']).unwrap_or(text));
    if !text.starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ',') {
        return None;
    }
    let decimal = decimal.or_else(|| decimal_of(text));
    let (whole, fraction) = match decimal.and_then(|mark| text.rsplit_once(mark)) {
        Some((whole, fraction)) => (whole, fraction),
        None => (text, ""),
    };
    let mut plain = String::with_capacity(text.len());
    let groups: Vec<&str> = whole.split([',', '.', ' ', '\'', '’']).collect();
    for (at, group) in groups.iter().enumerate() {
        let digits = group.bytes().all(|b| b.is_ascii_digit());
        // Thousands are parted by threes; in India the others by twos.
        let fits = match (at, group.len()) {
            (0, length) => length > 0 || groups.len() == 1,
            (_, 3) => true,
            (at, 2) => at + 1 < groups.len(),
            _ => false,
        };
        if !digits || !fits {
            return None;
        }
        plain.push_str(group);
    }
    if !fraction.bytes().all(|b| b.is_ascii_digit()) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let amount: f64 = format!("0{plain}.{fraction}0").parse().ok()?;
    amount.is_finite().then_some(amount)
}

/// The character before the decimals, as it can be seen.
fn decimal_of(text: &str) -> Option<char> {
    let last = text.rfind([',', '.'])?;
    let mark = if text[last..].starts_with(',') {
        ','
    } else {
        '.'
    };
    let others = text[..last].contains(if mark == ',' { '.' } else { ',' });
    let again = text[..last].contains(mark);
    let thousands = again || (mark == ',' && !others && text.len() - last == 4 && last > 0);
    (!thousands).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_as_shops_write_them() {
        for (text, amount, currency) in [
            ("15.00 USD", 15.0, Some("USD")),
            ("USD 15", 15.0, Some("USD")),
            ("usd15.5", 15.5, Some("USD")),
            ("15.00", 15.0, None),
            ("$15.00", 15.0, None),
            ("US$ 1,234.50", 1234.5, Some("USD")),
            ("1.234,50 €", 1234.5, Some("EUR")),
            ("49,90\u{a0}€", 49.9, Some("EUR")),
            ("1 234,50 zł", 1234.5, Some("PLN")),
            ("CHF 1'234.50", 1234.5, Some("CHF")),
            ("49,-", 49.0, None),
            ("49.–", 49.0, None),
            ("1,234", 1234.0, None),
            ("1.234", 1.234, None),
            ("12.500 KWD", 12.5, Some("KWD")),
            ("1,234,567", 1_234_567.0, None),
            ("1.234.567", 1_234_567.0, None),
            ("12,34,567.80", 1_234_567.8, None),
            ("0", 0.0, None),
            (".5", 0.5, None),
            ("0,5", 0.5, None),
        ] {
            let read = Money::parse(text, None).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(read.currency.as_deref(), currency, "{text}");
            assert!(
                (read.amount - amount).abs() < 1e-9,
                "{text}: {}",
                read.amount
            );
        }
        for text in [
            "",
            "-1",
            "-5.00 USD",
            "from 49.90",
            "49.90 - 59.90",
            "free",
            "12 34",
            "1,2,3",
            "NaN",
            "inf",
            "1e5",
            "USD",
            "€",
            ".",
            ",",
            "1.2,3.4",
            "١٥",
        ] {
            assert_eq!(Money::parse(text, None), None, "{text:?}");
        }
        let of = |text, decimal| Money::parse(text, Some(decimal)).map(|money| money.amount);
        assert_eq!(of("1.234", ','), Some(1234.0));
        assert_eq!(of("1,234", ','), Some(1.234));
        assert_eq!(of("1,234", '.'), Some(1234.0));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(whole in 0_u32..10_000_000, cents in 0_u32..100) {
            let meant = f64::from(whole) + f64::from(cents) / 100.0;
            let grouped = |mark: &str| {
                let digits = whole.to_string();
                let mut parts: Vec<String> = Vec::new();
                for chunk in digits.as_bytes().rchunks(3) {
                    parts.insert(0, String::from_utf8_lossy(chunk).into_owned());
                }
                parts.join(mark)
            };
            for text in [
                format!("{whole}.{cents:02}"), format!("{whole},{cents:02} EUR"),
                format!("{}.{cents:02}", grouped(",")), format!("€ {},{cents:02}", grouped(".")),
                format!("{}.{cents:02}", grouped("'")),
            ] {
                let read = Money::parse(&text, None).map(|money| money.amount);
                proptest::prop_assert!(read.is_some_and(|read| (read - meant).abs() < 1e-6), "{} {:?}", text, read);
            }
        }
    }
}
