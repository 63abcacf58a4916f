//! Amounts, which the API server keeps in a form of its own.
//! Source: <https://github.com/kubernetes/apimachinery/blob/v0.34.0/pkg/api/resource/quantity.go>.

use serde_json::Value;

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// How an amount was written, and so how it is kept.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    Binary,
    Decimal,
    Exponent,
}

/// An amount as the API server writes it; `None` for what is none.
pub(crate) fn canonical(value: &Value) -> Option<String> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text.strip_prefix('+').unwrap_or(&text)),
    };
    let (billionths, family) = parse(unsigned)?;
    // Resources are kept to the thousandth.
    let written = write(billionths.div_ceil(1_000_000) * 1_000_000, family);
    Some(if negative && billionths > 0 { format!("-{written}") } else { written })
}

fn parse(text: &str) -> Option<(u128, Family)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (factor, exponent, family) = if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        (1, *exponent, Family::Decimal)
    } else if let Some(power) = BINARY.iter().position(|s| *s == suffix) {
        (1 << (10 * (power + 1)), 0, Family::Binary)
    } else {
        (1, suffix.strip_prefix(['e', 'E'])?.parse().ok()?, Family::Exponent)
    };
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let power = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(factor)?;
    let scale = 10_u128.checked_pow(power.unsigned_abs())?;
    Some((if power < 0 { scaled.div_ceil(scale) } else { scaled.checked_mul(scale)? }, family))
}

fn write(billionths: u128, family: Family) -> String {
    let whole = billionths / 1_000_000_000;
    let is_whole = billionths.is_multiple_of(1_000_000_000);
    if family == Family::Binary && is_whole && whole >= 1_024 {
        let powers = (whole.trailing_zeros() / 10).min(6) as usize;
        let suffix = powers.checked_sub(1).map_or("", |index| BINARY[index]);
        return format!("{}{suffix}", whole >> (10 * powers));
    }
    let (mut mantissa, mut exponent) = (billionths, -9);
    while mantissa > 0 && mantissa.is_multiple_of(1_000) && exponent < 18 {
        (mantissa, exponent) = (mantissa / 1_000, exponent + 3);
    }
    let suffix = DECIMAL.iter().find(|(_, power)| *power == exponent).map_or("", |(suffix, _)| *suffix);
    match family {
        _ if mantissa == 0 => "0".to_owned(),
        Family::Exponent if exponent != 0 => format!("{mantissa}e{exponent}"),
        _ => format!("{mantissa}{suffix}"),
    }
}
