//! Finds every number that an English text states, in digits or in words.

/// One number as a text states it. It has no `Debug` outside of tests, because figures are health values.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Figure {
    /// A plain number.
    Number(Number),
    /// A time of day or a duration such as 23:30, in minutes.
    Clock(u32),
    /// What can only be compared letter by letter, in lower case: a date, a name such as "L5", "7k", "½", "1.2.3", "half".
    Verbatim(String),
}

#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Number {
    pub(crate) is_negative: bool,
    /// Decimal digits without grouping, leading zeros or trailing zeros of the fraction.
    pub(crate) digits: String,
    /// How many decimals were stated, trailing zeros included.
    pub(crate) decimals: usize,
    pub(crate) is_percent: bool,
}

impl Number {
    /// Whether someone who was told `self` may say `said`: the same number, claimed no more exactly, and a percentage
    /// where the other is one.
    pub(crate) fn grounds(&self, said: &Self) -> bool {
        self.is_negative == said.is_negative
            && self.digits == said.digits
            && said.decimals <= self.decimals
            && self.is_percent == said.is_percent
    }
}

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const AMOUNTS: [&str; 22] = [
    "half",
    "halves",
    "halved",
    "quarter",
    "quarters",
    "twice",
    "thrice",
    "double",
    "doubled",
    "triple",
    "tripled",
    "dozen",
    "dozens",
    "hundred",
    "hundreds",
    "thousand",
    "thousands",
    "million",
    "millions",
    "billion",
    "billions",
    "tenfold",
];
const MAGNITUDES: [&str; 10] = ["k", "K", "M", "B", "G", "T", "bn", "mn", "e", "E"];
/// No-break, narrow no-break and thin space, and the apostrophes that some people group digits with.
const GROUPING: [char; 6] = [',', '\u{a0}', '\u{202f}', '\u{2009}', '\'', '\u{2019}'];
const MINUS: [char; 5] = ['-', '\u{2010}', '\u{2011}', '\u{2012}', '\u{2013}'];
/// Characters that show nothing, so that "7\u{200b}2" reads as 72.
const INVISIBLE: [char; 7] =
    ['\u{ad}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{200e}', '\u{feff}'];
const TRUE_MINUS: char = '\u{2212}';

/// Every number in `text`, in order.
pub(crate) fn figures(text: &str) -> Vec<Figure> {
    let chars: Vec<char> = text.chars().filter(|c| !INVISIBLE.contains(c)).collect();
    let mut scanner = Scanner { chars: &chars, at: 0 };
    let mut found = Vec::new();
    while let Some(c) = scanner.peek(0) {
        if c.is_ascii_digit() {
            found.push(scanner.number());
        } else if c.is_alphanumeric() {
            found.extend(scanner.word());
        } else {
            scanner.at += 1;
        }
    }
    found
}

pub(crate) fn is_minus(c: char) -> bool {
    c == TRUE_MINUS || MINUS.contains(&c)
}

struct Scanner<'c> {
    chars: &'c [char],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn before(&self, back: usize) -> Option<char> {
        self.at.checked_sub(back).and_then(|at| self.chars.get(at)).copied()
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&keep) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// A word that begins with a letter, or with a digit that is not ASCII.
    fn word(&mut self) -> Option<Figure> {
        let word = self.take_while(char::is_alphanumeric).to_lowercase();
        if word.chars().any(char::is_numeric) || AMOUNTS.contains(&word.as_str()) {
            return Some(Figure::Verbatim(word));
        }
        let value = if let Some(tens) = TENS.iter().position(|tens| *tens == word) {
            (tens + 2) * 10 + self.ones_after_tens()
        } else {
            // "One" alone is a pronoun more often than a number.
            ONES.iter().position(|ones| *ones == word).filter(|value| *value != 1)?
        };
        Some(self.finish(plain(false, &value.to_string(), "")))
    }

    /// The "one" of "twenty-one"; 0 where there is none.
    fn ones_after_tens(&mut self) -> usize {
        let start = self.at;
        if self.peek(0).is_some_and(|c| c == ' ' || is_minus(c)) {
            self.at += 1;
            let word = self.take_while(char::is_alphanumeric).to_lowercase();
            if let Some(ones @ 1..=9) = ONES.iter().position(|ones| *ones == word) {
                return ones;
            }
        }
        self.at = start;
        0
    }

    /// A number that begins with an ASCII digit.
    fn number(&mut self) -> Figure {
        if let Some(figure) = self.date().or_else(|| self.clock()) {
            return figure;
        }
        let is_negative = self.before(1).is_some_and(is_minus)
            && !self.before(2).is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '%' | '.' | ','));
        let dangling = self.before(1).filter(|c| matches!(c, '.' | ','));
        let raw = self.numeral();
        let suffix = self.take_while(char::is_alphanumeric);
        if suffix.chars().any(char::is_numeric) || MAGNITUDES.contains(&suffix.as_str()) {
            return Figure::Verbatim((raw + &suffix).to_lowercase());
        }
        if let Some(dangling) = dangling {
            return Figure::Verbatim(format!("{dangling}{raw}"));
        }
        let Some((whole, fraction)) = ungroup(&raw) else { return Figure::Verbatim(raw) };
        let number = plain(is_negative, &whole, &fraction);
        if suffix.is_empty() {
            self.finish(number)
        } else {
            // "7pm"; every other suffix is a unit or an ordinal's ending.
            oclock(&number, &suffix).unwrap_or(Figure::Number(number))
        }
    }

    /// Digits with the separators between them.
    fn numeral(&mut self) -> String {
        let start = self.at;
        while let Some(c) = self.peek(0) {
            let is_inside =
                (c == '.' || GROUPING.contains(&c)) && self.peek(1).is_some_and(|c| c.is_ascii_digit());
            if !c.is_ascii_digit() && !is_inside {
                break;
            }
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    /// Whether the coming characters are as `pattern` says: `9` is a digit, all else itself; no digit may follow.
    fn looks_like(&self, pattern: &str) -> bool {
        let is_match = |(ahead, expected): (usize, char)| {
            self.peek(ahead).is_some_and(|c| if expected == '9' { c.is_ascii_digit() } else { c == expected })
        };
        pattern.chars().enumerate().all(is_match)
            && !self.peek(pattern.len()).is_some_and(|c| c.is_ascii_digit())
    }

    fn take(&mut self, count: usize) -> String {
        self.at += count;
        self.chars[self.at - count..self.at].iter().collect()
    }

    fn date(&mut self) -> Option<Figure> {
        self.looks_like("9999-99-99").then(|| Figure::Verbatim(self.take(10)))
    }

    fn clock(&mut self) -> Option<Figure> {
        if let Some(seconds) = ["9:99:99", "99:99:99"].into_iter().find(|pattern| self.looks_like(pattern)) {
            return Some(Figure::Verbatim(self.take(seconds.len())));
        }
        let pattern = ["9:99", "99:99"].into_iter().find(|pattern| self.looks_like(pattern))?;
        let text = self.take(pattern.len());
        let (hours, minutes) = text.split_once(':')?;
        let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let hours = match self.meridiem() {
            Some(meridiem) => on_24_hours(hours, &meridiem),
            None => Some(hours),
        };
        Some(match hours {
            Some(hours) if minutes < 60 => Figure::Clock(hours * 60 + minutes),
            _ => Figure::Verbatim(text),
        })
    }

    /// Reads what may stand behind a number: a sign or word of percentage, or "pm".
    fn finish(&mut self, mut number: Number) -> Figure {
        if let Some(meridiem) = self.meridiem()
            && let Some(figure) = oclock(&number, &meridiem)
        {
            return figure;
        }
        let rest: String = self.chars[self.at..].iter().take(12).collect();
        let rest = rest.trim_start().trim_start_matches('-').to_lowercase();
        number.is_percent = ["%", "percent", "per cent"].iter().any(|word| rest.starts_with(word));
        Figure::Number(number)
    }

    fn meridiem(&self) -> Option<String> {
        let rest: String = self.chars[self.at..].iter().take(8).collect();
        let letters: String =
            rest.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '.').collect();
        let letters = letters.replace('.', "").to_lowercase();
        matches!(letters.as_str(), "am" | "pm").then_some(letters)
    }
}

/// "11" and "pm" are 23:00.
fn oclock(number: &Number, meridiem: &str) -> Option<Figure> {
    let hours = on_24_hours(number.digits.parse().ok()?, &meridiem.to_lowercase())?;
    Some(Figure::Clock(hours * 60))
}

fn on_24_hours(hours: u32, meridiem: &str) -> Option<u32> {
    let shift = match meridiem {
        "am" => 0,
        "pm" => 12,
        _ => return None,
    };
    (1..=12).contains(&hours).then_some(hours % 12 + shift)
}

/// The digits of a numeral before and after the decimal point; `None` if it is grouped in no known way.
fn ungroup(raw: &str) -> Option<(String, String)> {
    let (whole, fraction) = raw.split_once('.').unwrap_or((raw, ""));
    if !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let Some(separator) = whole.chars().find(|c| !c.is_ascii_digit()) else {
        return Some((whole.to_owned(), fraction.to_owned()));
    };
    let mut groups = whole.split(separator);
    let is_first_fine = groups.next().is_some_and(|first| {
        (1..=3).contains(&first.len()) && !first.starts_with('0') && first.chars().all(|c| c.is_ascii_digit())
    });
    let are_others_fine = groups.all(|group| group.len() == 3 && group.chars().all(|c| c.is_ascii_digit()));
    (is_first_fine && are_others_fine).then(|| (whole.replace(separator, ""), fraction.to_owned()))
}

fn plain(is_negative: bool, whole: &str, fraction: &str) -> Number {
    let whole = whole.trim_start_matches('0');
    let significant = fraction.trim_end_matches('0');
    let mut digits = if whole.is_empty() { "0".to_owned() } else { whole.to_owned() };
    if !significant.is_empty() {
        digits = format!("{digits}.{significant}");
    }
    Number { is_negative, digits, decimals: fraction.len(), is_percent: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short writing of what was found: numbers as themselves, clocks as `h:mm`, verbatim text in quotes.
    fn read(text: &str) -> Vec<String> {
        figures(text)
            .into_iter()
            .map(|figure| match figure {
                Figure::Number(number) => format!(
                    "{}{}{}",
                    if number.is_negative { "-" } else { "" },
                    number.digits,
                    if number.is_percent { "%" } else { "" }
                ),
                Figure::Clock(minutes) => format!("{}:{:02}", minutes / 60, minutes % 60),
                Figure::Verbatim(text) => format!("'{text}'"),
            })
            .collect()
    }

    #[test]
    fn decimals_and_groups_of_thousands_are_read() {
        assert_eq!(read("7.50 and 12,345 and 1,234,567.8"), ["7.5", "12345", "1234567.8"]);
        assert_eq!(read("12\u{202f}345 and 12'345 and 7\u{200b}2"), ["12345", "12345", "72"]);
        assert_eq!(read("You slept 7. Then 8, and 007."), ["7", "8", "7"]);
    }

    #[test]
    fn numerals_that_are_grouped_in_no_known_way_are_kept_as_they_stand() {
        assert_eq!(read("7,5 1.2.3 0,500 12,34 .5"), ["'7,5'", "'1.2.3'", "'0,500'", "'12,34'", "'.5'"]);
    }

    #[test]
    fn a_minus_is_a_sign_only_where_no_range_is_meant() {
        assert_eq!(read("7-8, 7\u{2013}8, 5%-10%, 7 h-8 h"), ["7", "8", "7", "8", "5%", "10%", "7", "8"]);
        assert_eq!(read("-3 (\u{2212}2.5) PAT-7"), ["-3", "-2.5", "7"]);
    }

    #[test]
    fn percentages_are_marked() {
        assert_eq!(read("85% 85 % 85 percent ten per cent 85"), ["85%", "85%", "85%", "10%", "85"]);
    }

    #[test]
    fn times_of_day_are_one_figure() {
        assert_eq!(
            read("23:30, 7:05 am, 11:30 p.m., 11 pm, 12am"),
            ["23:30", "7:05", "23:30", "23:00", "0:00"]
        );
        assert_eq!(read("07:61 and 23:30:15"), ["'07:61'", "'23:30:15'"]);
        assert_eq!(read("2:1"), ["2", "1"]);
    }

    #[test]
    fn units_and_ordinals_may_touch_the_digits() {
        assert_eq!(read("90bpm 7h 3rd 120/80mmHg 1."), ["90", "7", "3", "120", "80", "1"]);
    }

    #[test]
    fn names_dates_and_magnitudes_are_compared_as_they_stand() {
        assert_eq!(
            read("L5 M10 SpO2 2026-03-01 7k 1e5 7e-5 ½ ٧ 10⁴"),
            ["'l5'", "'m10'", "'spo2'", "'2026-03-01'", "'7k'", "'1e5'", "'7e'", "5", "'½'", "'٧'", "'10⁴'"]
                .map(str::to_owned)
        );
    }

    #[test]
    fn number_words_are_numbers() {
        assert_eq!(read("Seven nights, twenty-one days, forty five, one could"), ["7", "21", "45"]);
        assert_eq!(read("half an hour, twice, two thousand"), ["'half'", "'twice'", "2", "'thousand'"]);
    }
}
