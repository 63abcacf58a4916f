//! Figures for people, and what is told of several.

/// The value below or at which this part of the sorted values lies, by nearest rank; 0 of none.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(0.0)
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// With three or four digits that mean something, and thousands set apart: `231,400`, `74.2`, `1.53`.
pub(crate) fn readable(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(
            (quantile(&values, 0.5), quantile(&values, 0.95), quantile(&values, 0.0)),
            (3.0, 5.0, 1.0)
        );
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.99)), (0.0, 7.0));
    }

    #[test]
    fn an_even_number_of_values_has_its_median_between_two() {
        assert_eq!((median(&[4.0, 1.0]), median(&[3.0, 1.0, 2.0]), median(&[])), (2.5, 2.0, 0.0));
    }

    #[test]
    fn numbers_are_readable() {
        let texts = [1_234_567.8, 999.6, 74.25, 1.534, 0.0421, 0.0, -1_500.0].map(readable);
        assert_eq!(texts, ["1,234,568", "1,000", "74.2", "1.53", "0.042", "0.000", "-1,500"]);
    }
}
