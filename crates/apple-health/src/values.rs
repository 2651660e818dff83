//! Dates, times and numbers as phones write them.

/// An instant and the offset that its text carried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Instant {
    pub(crate) ms: i64,
    pub(crate) offset_seconds: i32,
}

/// The offset of the Line Islands, the farthest from UTC.
const OFFSET_SECONDS_MAX: i32 = 14 * 3600;

/// The length of `2024-01-05 07:12:33 +0100`.
pub(crate) const INSTANT_BYTES: usize = 25;

const DAY_MS: i64 = 86_400_000;

/// Reads `2024-01-05 07:12:33 +0100`. Phones that are set to show 12 hours may write `2024-01-05 7:12:33 PM +0100`.
pub(crate) fn instant(text: &str) -> Option<Instant> {
    fixed(text.as_bytes()).or_else(|| twelve_hours(text))
}

/// Reads the usual form.
#[inline]
pub(crate) fn fixed(text: &[u8]) -> Option<Instant> {
    let text: &[u8; INSTANT_BYTES] = text.try_into().ok()?;
    if (text[4], text[7], text[10], text[13], text[16], text[19]) != (b'-', b'-', b' ', b':', b':', b' ') {
        return None;
    }
    let pair = |at: usize| digits(text[at], text[at + 1]);
    let days = days(pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?)?;
    let of_day = of_day(pair(11)?, pair(14)?, pair(17)?)?;
    assemble(days, of_day * 1000, offset(text[20], pair(21)?, pair(23)?)?)
}

fn twelve_hours(text: &str) -> Option<Instant> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = date.as_bytes();
    if (date[4], date[7]) != (b'-', b'-') {
        return None;
    }
    let pair = |at: usize| digits(date[at], date[at + 1]);
    let days = days(pair(0)? * 100 + pair(2)?, pair(5)?, pair(8)?)?;
    let (time, zone) = rest.strip_prefix(' ')?.rsplit_once(' ')?;
    let of_day_ms = time_of_day_ms(time)?;
    let zone: &[u8; 5] = zone.as_bytes().try_into().ok()?;
    let offset = offset(zone[0], digits(zone[1], zone[2])?, digits(zone[3], zone[4])?)?;
    assemble(days, of_day_ms, offset)
}

fn assemble(days: i64, of_day_ms: i64, offset_seconds: i32) -> Option<Instant> {
    (offset_seconds.abs() <= OFFSET_SECONDS_MAX)
        .then(|| Instant { ms: days * DAY_MS + of_day_ms - i64::from(offset_seconds) * 1000, offset_seconds })
}

#[inline]
fn digits(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens) * 10 + i64::from(ones))
}

#[inline]
fn offset(sign: u8, hours: i64, minutes: i64) -> Option<i32> {
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|_| minutes < 60)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// A leap second counts as the one before it.
#[inline]
fn of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

/// Days since the beginning of 1970 of a date of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
#[inline]
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    const LENGTHS: [i64; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = *LENGTHS.get(usize::try_from(month - 1).ok()?)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if day < 1 || day > length || (month == 2 && day == 29 && !is_leap) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Milliseconds since midnight of `7:12:33.45 AM`, `19:12:33,45` and the like: the phone's own way to write times.
pub(crate) fn time_of_day_ms(text: &str) -> Option<i64> {
    let is_mark = |letter: char| letter.is_ascii_alphabetic() || letter == '.' || letter.is_whitespace();
    let (clock, mark) = match text.find(|letter: char| letter.is_whitespace() || letter.is_ascii_alphabetic())
    {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mark: String = if mark.chars().all(is_mark) {
        mark.chars().filter(char::is_ascii_alphabetic).map(|letter| letter.to_ascii_lowercase()).collect()
    } else {
        return None;
    };
    let mut parts = clock.split(':');
    let (hour, minute, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (second, fraction) = seconds.split_once(['.', ',']).unwrap_or((seconds, ""));
    let whole = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<i64>().ok()).flatten()
    };
    let hour = match (mark.as_str(), whole(hour)?) {
        ("", hour) => hour,
        ("am", hour @ 1..=12) => hour % 12,
        ("pm", hour @ 1..=12) => hour % 12 + 12,
        _ => return None,
    };
    let is_fraction = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if parts.next().is_some() || !is_fraction {
        return None;
    }
    let ms = format!("{fraction:0<3}").parse::<i64>().ok()?;
    Some(of_day(hour, whole(minute)?, whole(second)?)? * 1000 + ms)
}

/// Reads a number. Some phones write a comma before the decimals; where the comma may as well part thousands (`1,234`), the
/// text says no number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let is_plain = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    if text.bytes().all(is_plain) {
        return text.parse().ok().filter(|number: &f64| number.is_finite());
    }
    let (whole, decimals) = text.split_once(',')?;
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_zero = matches!(whole.trim_start_matches('-'), "0");
    if !are_digits(whole.trim_start_matches('-'))
        || !are_digits(decimals)
        || (decimals.len() == 3 && !is_zero)
    {
        return None;
    }
    format!("{whole}.{decimals}").parse().ok()
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, civil::Date, fmt::strtime};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn instants_are_read_in_each_of_their_forms() {
        let at = |text: &str| instant(text).map(|at| (at.ms, at.offset_seconds));
        assert_eq!(at("2026-03-01 08:00:00 +0200"), Some((1_772_344_800_000, 7200)));
        assert_eq!(at("2026-03-01 02:30:00 -0330"), Some((1_772_344_800_000, -12_600)));
        assert_eq!(at("2026-03-01 8:00:00 AM +0200"), Some((1_772_344_800_000, 7200)));
        assert_eq!(at("2026-03-01 12:00:00 am +0000"), Some((1_772_323_200_000, 0)));
        assert_eq!(at("2026-03-01 12:00:00\u{202f}PM +0000"), Some((1_772_366_400_000, 0)));
        assert_eq!(at("2026-03-01 08:00:00.5 +0200"), Some((1_772_344_800_500, 7200)));
        assert_eq!(at("2016-12-31 23:59:60 +0000"), at("2016-12-31 23:59:59 +0000"));
        for bad in [
            "",
            "2026-03-01",
            "2026-02-29 08:00:00 +0000",
            "2026-13-01 08:00:00 +0000",
            "2026-00-01 08:00:00 +0000",
            "2026-03-01 24:00:00 +0000",
            "2026-03-01 08:60:00 +0000",
            "2026-03-01 08:00:00 +1500",
            "2026-03-01 08:00:00 +0060",
            "2026-03-01T08:00:00 +0000",
            "2026-03-01 08:00:00 Z",
            "2026-03-0١ 08:00:00 +0",
            "2026-03-01 13:00:00 PM +0000",
            "2026-03-01 0:00:00 AM +0000",
            "2026-03-01 8:00:00 XM +0000",
            "+026-03-01 08:00:00 +0000",
            "2026-03-00 08:00:00 +0000",
            "é026-03-01 8:0:0 +0000",
        ] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_of_day_are_read_in_the_ways_of_many_countries() {
        let quarter = Some(((19 * 60 + 12) * 60 + 33) * 1000 + 450);
        for text in
            ["7:12:33.45 PM", "19:12:33.45", "19:12:33,45", "07:12:33,450 p.m.", "7:12:33.45\u{202f}PM"]
        {
            assert_eq!(time_of_day_ms(text), quarter, "{text}");
        }
        assert_eq!(time_of_day_ms("12:00:00.00 AM"), Some(0));
        for bad in [
            "",
            "7:12",
            "7:12:33:1",
            "25:00:00",
            "7:12:33.x",
            "下午7:12:33.45",
            "7:12:33.4567",
            "-7:12:33",
            "7:1 2:33",
        ] {
            assert_eq!(time_of_day_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_have_one_meaning_or_none() {
        for (text, value) in [
            ("62", 62.0),
            ("0.97", 0.97),
            ("-0.5", -0.5),
            ("1.5e-05", 1.5e-5),
            ("62,5", 62.5),
            ("0,125", 0.125),
        ] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for bad in [
            "", "1,234", "1,234.5", "1.234,5", "inf", "NaN", "1e999", "٦٢", "62 ", "--1", "1,2,3", ",5",
            "5,", "0x10",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn instants_are_those_of_the_calendar(second in 0_i64..4_102_444_800, minutes in -14_i64 * 60..=14 * 60) {
            let offset_seconds = i32::try_from(minutes * 60).unwrap();
            let offset = jiff::tz::Offset::from_seconds(offset_seconds).unwrap();
            let zoned = Timestamp::from_second(second).unwrap().to_zoned(offset.to_time_zone());
            let text = strtime::format("%Y-%m-%d %H:%M:%S %z", &zoned).unwrap();
            prop_assert_eq!(instant(&text), Some(Instant { ms: second * 1000, offset_seconds }));
        }

        #[test]
        fn days_are_those_of_the_calendar(year in 0_i16..9999, month in 0_i8..14, day in 0_i8..33) {
            let expected = Date::new(year, month, day).ok().map(|date| {
                i64::from(date.since(Date::constant(1970, 1, 1)).unwrap().get_days())
            });
            prop_assert_eq!(days(year.into(), month.into(), day.into()), expected);
        }

        #[test]
        fn no_text_makes_them_panic(text in ".{0,30}") {
            let _outcome = (instant(&text), time_of_day_ms(&text), number(&text));
        }
    }
}
