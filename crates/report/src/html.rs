//! Text and numbers as the page writes them.

use std::fmt;

use domain::measures::{Coverage, CoverageOf};
use jiff::civil::Date;

/// Text from outside: no character of it can end a text or an attribute.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                // XML has no way to write these.
                '\u{FFFE}' | '\u{FFFF}' => f.write_char(char::REPLACEMENT_CHARACTER)?,
                other if other.is_control() => f.write_char(' ')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A value with three or four digits that count; what is not 0 does not become it.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    let decimals = match size {
        _ if size >= 1000.0 => 0,
        _ if size >= 100.0 => 1,
        _ if size >= 1.0 => 2,
        _ if size >= 0.001 => 4,
        0.0 => 0,
        _ => return format!("{value:.2e}"),
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

/// A minute of the day as a clock shows it. Minutes before or after that day are shown as the clock of their own day does.
pub(crate) fn clock(minute: f64) -> String {
    let minute = minute.round().rem_euclid(1440.0);
    format!("{:02.0}:{:02.0}", (minute / 60.0).floor(), minute % 60.0)
}

/// A unit for people: UCUM without the braces of what it only annotates.
pub(crate) fn unit(ucum: &str) -> String {
    match ucum {
        "1" => "no unit".to_owned(),
        "Cel" => "°C".to_owned(),
        _ => ucum.replace(['{', '}'], ""),
    }
}

pub(crate) fn coverage(coverage: Coverage) -> String {
    let of = match coverage.of {
        CoverageOf::Minutes => "min",
        CoverageOf::Readings => "readings",
        CoverageOf::Nights => "nights",
        CoverageOf::Days => "d",
    };
    format!("{}/{} {of}", coverage.observed, coverage.expected)
}

/// `Mon 2 Mar`.
pub(crate) fn short_date(date: Date) -> String {
    date.strftime("%a %-d %b").to_string()
}

/// `2 March 2026`.
pub(crate) fn long_date(date: Date) -> String {
    date.strftime("%-d %B %Y").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_the_digits_that_count() {
        let shown: Vec<String> =
            [0.0, 12_345.6, 412.25, 7.0, 71.456, 0.034_56, 0.000_012, -3.5].into_iter().map(number).collect();
        assert_eq!(shown, ["0", "12346", "412.2", "7", "71.46", "0.0346", "1.20e-5", "-3.5"]);
    }

    #[test]
    fn clocks_go_round() {
        assert_eq!(
            [0.0, 61.4, 1439.6, -30.0, 1500.0].map(clock),
            ["00:00", "01:01", "00:00", "23:30", "01:00"]
        );
    }

    #[test]
    fn no_text_is_markup() {
        let name = "<b a=\"1\" c='2'>&\u{0}\u{1b}";
        assert_eq!(Escaped(name).to_string(), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;  ");
    }
}
