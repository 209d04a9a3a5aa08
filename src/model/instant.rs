//! Dates and times with their precision: FHIR's `date`, `dateTime`, `instant` and `time`, and the intervals that they stand for
//! (R4 datatypes.html#dateTime, search.html#date).
use std::cmp::Ordering;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// Nanoseconds since 1970-01-01T00:00:00Z, from -2^71 up to, not including, 2^71: more than 70,000 years.
pub type Nanos = i128;

pub const NANOS_PER_MILLI: Nanos = 1_000_000;

/// The smallest part of a date that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

/// A half-open interval of the time line, in milliseconds: from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Interval {
    pub start: Millis,
    pub end: Millis,
}

impl Interval {
    /// The whole time line: a period without bounds.
    pub const ALWAYS: Self = Self { start: Millis::MIN, end: Millis::MAX };

    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// A half-open interval of the time line in nanoseconds, the finest precision of dates: from `start` up to, not including,
/// `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub start: Nanos,
    pub end: Nanos,
}

impl Span {
    /// The whole time line.
    pub const ALWAYS: Self = Self { start: -(1 << 71), end: (1 << 71) - 1 };

    /// The interval of whole milliseconds: it contains exactly those millisecond moments that the span contains.
    #[must_use]
    pub fn of_millis(self) -> Interval {
        Interval { start: ceil_millis(self.start), end: ceil_millis(self.end) }
    }
}

fn floor_millis(nanos: Nanos) -> Millis {
    let millis = nanos.div_euclid(NANOS_PER_MILLI);
    Millis::try_from(millis).unwrap_or(if millis < 0 { Millis::MIN } else { Millis::MAX })
}

fn ceil_millis(nanos: Nanos) -> Millis {
    floor_millis(nanos + NANOS_PER_MILLI - 1)
}

/// A date, a date with time, or a time alone, with the precision it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Temporal {
    /// 0 for a time without a date.
    pub year: i32,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    /// 60 for a leap second.
    pub second: u8,
    pub millisecond: u16,
    /// The nanoseconds beyond the whole milliseconds.
    pub nanosecond: u32,
    /// The number of written fraction digits of a second, up to 9; further digits are dropped.
    pub fraction_digits: u8,
    /// Offset from UTC in minutes, east positive; `None` if none was written.
    pub offset: Option<i16>,
    pub precision: Precision,
}

impl Temporal {
    /// Parses `YYYY[-MM[-DD[Thh:mm[:ss[.fff]][zone]]]]`; `None` for anything else, and for days that do not exist. Times without
    /// a zone are accepted because search values may omit it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_partial(text).filter(|date| date.precision != Precision::Hour && !text.ends_with('T'))
    }

    /// Parses a FHIRPath date or dateTime: also `YYYY-MM-DDThh` and `YYYY-MM-DDT` (N1 spec, Literals).
    #[must_use]
    pub fn parse_partial(text: &str) -> Option<Self> {
        let (date, time) = match text.split_once('T') {
            Some((date, time)) => (date, Some(time)),
            None => (text, None),
        };
        let mut parsed = Self::parse_date(date)?;
        let Some(time) = time else { return Some(parsed) };
        if parsed.precision != Precision::Day {
            return None;
        }
        if time.is_empty() {
            // FHIRPath writes a dateTime of partial precision as `@2015T`.
            return Some(parsed);
        }
        let zone_at = time.find(['Z', '+', '-']).unwrap_or(time.len());
        let (clock, zone) = (time.get(..zone_at)?, time.get(zone_at..)?);
        parsed.read_clock(clock)?;
        parsed.offset = if zone.is_empty() { None } else { Some(parse_zone(zone)?) };
        Some(parsed)
    }

    /// Parses a time of day, `hh[:mm[:ss[.fff]]]`.
    #[must_use]
    pub fn parse_time(text: &str) -> Option<Self> {
        let mut parsed = Self::midnight(0, 0, 0, Precision::Hour);
        parsed.read_clock(text)?;
        Some(parsed)
    }

    fn midnight(year: i32, month: u8, day: u8, precision: Precision) -> Self {
        Self {
            year,
            month,
            day,
            hour: 0,
            minute: 0,
            second: 0,
            millisecond: 0,
            nanosecond: 0,
            fraction_digits: 0,
            offset: None,
            precision,
        }
    }

    /// The same time cut to whole milliseconds.
    #[must_use]
    pub fn whole_millis(&self) -> Self {
        Self { nanosecond: 0, fraction_digits: self.fraction_digits.min(3), ..*self }
    }

    /// The date without time and zone, with a precision of at most the day.
    #[must_use]
    pub fn date(&self) -> Self {
        Self::midnight(self.year, self.month, self.day, self.precision.min(Precision::Day))
    }

    fn parse_date(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year = i32::try_from(digits(parts.next()?, 4)?).ok()?;
        let month = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |month| month.map(Some))?;
        let day = parts.next().map(|part| digits(part, 2)).map_or(Some(None), |day| day.map(Some))?;
        if parts.next().is_some() || year == 0 {
            return None;
        }
        let precision = match (month, day) {
            (None, _) => Precision::Year,
            (Some(_), None) => Precision::Month,
            (Some(_), Some(_)) => Precision::Day,
        };
        let month = u8::try_from(month.unwrap_or(1)).ok()?;
        let day = u8::try_from(day.unwrap_or(1)).ok()?;
        let possible = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        possible.then(|| Self::midnight(year, month, day, precision))
    }

    fn read_clock(&mut self, text: &str) -> Option<()> {
        let mut parts = text.splitn(3, ':');
        self.hour = u8::try_from(digits(parts.next()?, 2)?).ok().filter(|hour| *hour < 24)?;
        self.precision = Precision::Hour;
        let Some(minute) = parts.next() else { return Some(()) };
        self.minute = u8::try_from(digits(minute, 2)?).ok().filter(|minute| *minute < 60)?;
        self.precision = Precision::Minute;
        let Some(second) = parts.next() else { return Some(()) };
        let (whole, fraction) = match second.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (second, None),
        };
        self.second = u8::try_from(digits(whole, 2)?).ok().filter(|second| *second <= 60)?;
        self.precision = Precision::Second;
        if let Some(fraction) = fraction {
            if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let padded: String = fraction.chars().chain("000000000".chars()).take(9).collect();
            let nanos: u32 = padded.parse().ok()?;
            self.millisecond = u16::try_from(nanos / 1_000_000).ok()?;
            self.nanosecond = nanos % 1_000_000;
            self.fraction_digits = u8::try_from(fraction.len().min(9)).ok()?;
            self.precision = Precision::Millisecond;
        }
        Some(())
    }

    /// The interval that the value stands for: as long as its last written part, where a fraction of up to three digits is one
    /// millisecond long. A missing zone means UTC.
    /// CHOICE: R4 search.html#date leaves the default zone to the server; UTC makes answers independent of the server's
    /// location.
    #[must_use]
    pub fn span(&self) -> Span {
        let nanos = |millis: Millis| i128::from(millis) * NANOS_PER_MILLI;
        let start = self.start();
        let from = nanos(start) + i128::from(self.nanosecond);
        let end = match self.precision {
            Precision::Year => nanos(Self { year: self.year + 1, ..*self }.start()),
            Precision::Month if self.month == 12 => {
                nanos(Self { year: self.year + 1, month: 1, ..*self }.start())
            }
            Precision::Month => nanos(Self { month: self.month + 1, ..*self }.start()),
            Precision::Day => nanos(start + 86_400_000),
            Precision::Hour => nanos(start + 3_600_000),
            Precision::Minute => nanos(start + 60_000),
            Precision::Second => nanos(start + 1_000),
            Precision::Millisecond => from + 10_i128.pow(9 - u32::from(self.fraction_digits.clamp(3, 9))),
        };
        Span { start: from, end }
    }

    /// [`Self::span`] in milliseconds, extended to whole ones.
    #[must_use]
    pub fn interval(&self) -> Interval {
        let Span { start, end } = self.span();
        Interval { start: floor_millis(start), end: ceil_millis(end) }
    }

    fn start(&self) -> Millis {
        let days = days_from_civil(self.year, self.month, self.day);
        let minutes =
            i64::from(self.hour) * 60 + i64::from(self.minute) - i64::from(self.offset.unwrap_or(0));
        days * 86_400_000 + minutes * 60_000 + i64::from(self.second) * 1_000 + i64::from(self.millisecond)
    }

    /// The instant in UTC with millisecond precision.
    #[must_use]
    pub fn from_millis(millis: Millis) -> Self {
        let (days, rest) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let part = |divisor: i64, modulus: i64| u8::try_from(rest / divisor % modulus).unwrap_or(0);
        Self {
            year,
            month,
            day,
            hour: part(3_600_000, 24),
            minute: part(60_000, 60),
            second: part(1_000, 60),
            millisecond: u16::try_from(rest % 1_000).unwrap_or(0),
            nanosecond: 0,
            fraction_digits: 3,
            offset: Some(0),
            precision: Precision::Millisecond,
        }
    }

    /// The date and time parts, largest first, in the zone that was written.
    #[must_use]
    pub fn parts(&self) -> [i32; 8] {
        [
            self.year,
            i32::from(self.month),
            i32::from(self.day),
            i32::from(self.hour),
            i32::from(self.minute),
            i32::from(self.second),
            i32::from(self.millisecond),
            i32::try_from(self.nanosecond).unwrap_or(0),
        ]
    }

    /// Compares as FHIRPath does (N1 spec, Comparison): part by part down to the coarser precision. `None` if the precisions
    /// differ and all common parts are equal, or if only one has a zone and the result depends on the other's. Seconds and
    /// milliseconds count as one part.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let (left, right) = match (self.offset, other.offset) {
            (Some(_), Some(_)) => (self.in_utc(), other.in_utc()),
            (None, None) => (*self, *other),
            (Some(_), None) => return compare_zones(self, other),
            (None, Some(_)) => return compare_zones(other, self).map(Ordering::reverse),
        };
        let rank = |precision: Precision| match precision {
            Precision::Millisecond => Precision::Second,
            other => other,
        };
        const ORDER: [Precision; 8] = [
            Precision::Year,
            Precision::Month,
            Precision::Day,
            Precision::Hour,
            Precision::Minute,
            Precision::Second,
            Precision::Millisecond,
            Precision::Millisecond,
        ];
        for ((precision, a), b) in ORDER.iter().zip(left.parts()).zip(right.parts()) {
            let shared = rank(left.precision).min(rank(right.precision));
            if rank(*precision) > shared {
                return if rank(left.precision) == rank(right.precision) {
                    Some(Ordering::Equal)
                } else {
                    None
                };
            }
            if a != b {
                return Some(a.cmp(&b));
            }
        }
        Some(Ordering::Equal)
    }

    /// Another instant in UTC, with this one's precision and sub-millisecond digits.
    fn at(&self, millis: Millis) -> Self {
        Self {
            precision: self.precision,
            nanosecond: self.nanosecond,
            fraction_digits: self.fraction_digits,
            ..Self::from_millis(millis)
        }
    }

    fn in_utc(&self) -> Self {
        self.at(self.start())
    }

    /// Moves the date by calendar months, to the last day of the month if the day does not exist there.
    #[must_use]
    pub fn plus_months(&self, months: i64) -> Option<Self> {
        let total = i64::from(self.year) * 12 + i64::from(self.month) - 1 + months;
        let year = i32::try_from(total.div_euclid(12)).ok().filter(|year| (1..=9999).contains(year))?;
        let month = u8::try_from(total.rem_euclid(12)).ok()? + 1;
        Some(Self { year, month, day: self.day.min(days_in(year, month)), ..*self })
    }

    /// Moves the point in time by milliseconds, keeping precision and zone.
    #[must_use]
    pub fn plus_millis(&self, millis: i64) -> Option<Self> {
        let zone = i64::from(self.offset.unwrap_or(0)) * 60_000;
        let moved = self.at(self.start().checked_add(zone)?.checked_add(millis)?);
        (1..=9999).contains(&moved.year).then_some(Self { offset: self.offset, ..moved })
    }

    /// The text in FHIR's format, with the value's precision.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{:04}", self.year);
        if self.precision >= Precision::Month {
            text.push_str(&format!("-{:02}", self.month));
        }
        if self.precision >= Precision::Day {
            text.push_str(&format!("-{:02}", self.day));
        }
        if self.precision >= Precision::Hour {
            text.push('T');
            text.push_str(&self.time_text());
            text.push_str(&self.zone_text());
        }
        text
    }

    /// The time of day as text.
    #[must_use]
    pub fn time_text(&self) -> String {
        let mut text = format!("{:02}", self.hour);
        if self.precision >= Precision::Minute {
            text.push_str(&format!(":{:02}", self.minute));
        }
        if self.precision >= Precision::Second {
            text.push_str(&format!(":{:02}", self.second));
        }
        if self.precision >= Precision::Millisecond {
            let fraction = format!("{:03}{:06}", self.millisecond, self.nanosecond);
            text.push('.');
            text.extend(fraction.chars().take(usize::from(self.fraction_digits.max(3))));
        }
        text
    }

    fn zone_text(&self) -> String {
        match self.offset {
            None => String::new(),
            Some(0) => "Z".to_owned(),
            Some(offset) => {
                let sign = if offset < 0 { '-' } else { '+' };
                format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60)
            }
        }
    }
}

/// Compares a time with a zone to one without: `None` unless the result is the same in every zone on earth.
fn compare_zones(zoned: &Temporal, local: &Temporal) -> Option<Ordering> {
    const EAST_MAX: i64 = 14 * 3_600_000;
    const WEST_MAX: i64 = 12 * 3_600_000;
    let (zoned, local) = (zoned.interval(), local.interval());
    if zoned.start >= local.end + WEST_MAX {
        Some(Ordering::Greater)
    } else if zoned.end <= local.start - EAST_MAX {
        Some(Ordering::Less)
    } else {
        None
    }
}

fn digits(text: &str, len: usize) -> Option<u32> {
    (text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn parse_zone(text: &str) -> Option<i16> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let total = digits(hours, 2)? * 60 + digits(minutes, 2).filter(|minutes| *minutes < 60)?;
    // R4 datatypes.html#dateTime: the regex permits offsets up to 14:00.
    i16::try_from(total).ok().filter(|total| *total <= 14 * 60).map(|total| sign * total)
}

fn days_in(year: i32, month: u8) -> u8 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a Gregorian date, computed in eras of 400 years from 0000-03-01.
fn days_from_civil(year: i32, month: u8, day: u8) -> i64 {
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i32, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = u8::try_from(day_of_year - (153 * month_from_march + 2) / 5 + 1).unwrap_or(1);
    let month = u8::try_from((month_from_march + 2) % 12 + 1).unwrap_or(1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (i32::try_from(year).unwrap_or(i32::MAX), month, day)
}

#[cfg(test)]
mod tests {
    use super::{Temporal, days_from_civil};
    use std::cmp::Ordering;

    fn interval(text: &str) -> (String, String) {
        let interval = Temporal::parse(text).unwrap().interval();
        (Temporal::from_millis(interval.start).to_text(), Temporal::from_millis(interval.end).to_text())
    }

    #[test]
    fn a_date_is_the_interval_that_it_was_written_for() {
        let check = |text: &str, start: &str, end: &str| {
            assert_eq!(interval(text), (format!("{start}Z"), format!("{end}Z")), "{text}");
        };
        check("2020", "2020-01-01T00:00:00.000", "2021-01-01T00:00:00.000");
        check("2020-02", "2020-02-01T00:00:00.000", "2020-03-01T00:00:00.000");
        check("2020-12", "2020-12-01T00:00:00.000", "2021-01-01T00:00:00.000");
        check("1600-02-29", "1600-02-29T00:00:00.000", "1600-03-01T00:00:00.000");
        check("2020-01-01T10:00:00+02:00", "2020-01-01T08:00:00.000", "2020-01-01T08:00:01.000");
        check("2020-01-01T00:30:00.5-01:00", "2020-01-01T01:30:00.500", "2020-01-01T01:30:00.501");
        // A leap second counts as the next second.
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000", "2017-01-01T00:00:01.000");
        let fine = Temporal::parse("1970-01-01T00:00:00.00000001Z").unwrap();
        assert_eq!((fine.span().start, fine.span().end), (10, 20));
        assert_eq!(fine.to_text(), "1970-01-01T00:00:00.00000001Z");
        assert_eq!((fine.interval().start, fine.interval().end), (0, 1));
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in [
            "2020-13",
            "2021-02-29",
            "2020-1-1",
            "20200101",
            "2020-01-01T24:00:00Z",
            "2020-01-01T10:00:00+15:00",
            "",
            "0000",
            "2020-01-01T10:00:00z",
            "2020-01T10:00",
            "2020-01-01T10:00:00.Z",
            "2020-01-01T",
            "2020-01-01T10",
            "2020-01-01T10Z",
            "2020-01-01T10:00:61Z",
        ] {
            assert_eq!(Temporal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn comparison_stops_where_precision_ends() {
        let check = |a: &str, b: &str, expected: Option<Ordering>| {
            assert_eq!(
                Temporal::parse(a).unwrap().compare(&Temporal::parse(b).unwrap()),
                expected,
                "{a} {b}"
            );
        };
        check("2012", "2013", Some(Ordering::Less));
        check("2012", "2012-01", None);
        check("2012-01-01T10:00:00Z", "2012-01-01T11:00:00+01:00", Some(Ordering::Equal));
        check("2012-01-01T10:00:00", "2012-01-01T10:00:00.000", Some(Ordering::Equal));
        check("2012-01-01T10:00:00Z", "2012-01-01T10:00:00", None);
        check("2012-01-01T10:00:00.0001Z", "2012-01-01T10:00:00.0002Z", Some(Ordering::Less));
    }

    #[test]
    fn civil_days_go_there_and_back() {
        for day in (-800_000..800_000).step_by(97) {
            let (year, month, of_month) = super::civil_from_days(day);
            assert_eq!(days_from_civil(year, month, of_month), day);
        }
        let moved = Temporal::parse("2020-01-31").unwrap().plus_months(1).unwrap();
        assert_eq!(moved.to_text(), "2020-02-29");
        assert_eq!(moved.plus_millis(86_400_000).unwrap().to_text(), "2020-03-01");
    }
}
