//! Times as configs write them: RFC 3339.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, in UTC, to the nanosecond, from year 1 to year 9999 (others cannot be written: skopeo and umoci refuse them).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(OffsetDateTime);

impl Timestamp {
    /// The beginning of 1970.
    pub const EPOCH: Timestamp = Timestamp(OffsetDateTime::UNIX_EPOCH);

    /// The moment so many seconds after (or before) the beginning of 1970, clamped to the years 1 to 9999.
    pub fn from_unix(seconds: i64) -> Self {
        const YEAR_1: i64 = -62_135_596_800;
        const YEAR_9999_END: i64 = 253_402_300_799;
        let clamped = seconds.clamp(YEAR_1, YEAR_9999_END);
        Self(OffsetDateTime::from_unix_timestamp(clamped).unwrap_or(OffsetDateTime::UNIX_EPOCH))
    }

    /// Seconds since the beginning of 1970, rounded down.
    pub fn unix(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// Reads RFC 3339; `None` also for a moment that lies, in UTC, in another year than 1 to 9999.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let moment = moment.checked_to_offset(time::UtcOffset::UTC)?;
        (1..=9999).contains(&moment.year()).then_some(Self(moment))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a time in RFC 3339")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_3339_is_read_and_written() {
        for (text, seconds, written) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", -62_135_596_800, "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", 253_402_300_799, "9999-12-31T23:59:59.999999999Z"),
            ("2024-02-29T12:00:00+05:30", 1_709_188_200, "2024-02-29T06:30:00Z"),
            ("2024-02-29T12:00:00-08:00", 1_709_236_800, "2024-02-29T20:00:00Z"),
            ("2024-02-29T12:00:00.123456789Z", 1_709_208_000, "2024-02-29T12:00:00.123456789Z"),
            ("2024-02-29T12:00:00.120Z", 1_709_208_000, "2024-02-29T12:00:00.12Z"),
            ("1969-12-31T23:59:59.5Z", -1, "1969-12-31T23:59:59.5Z"),
        ] {
            let moment = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(moment.unix(), seconds, "{text}");
            assert_eq!(moment.to_string(), written, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_read() {
        for wrong in [
            "",
            "now",
            "1700000000",
            "2024-02-30T00:00:00Z",
            "2024-02-29T12:00:00",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
        let error = serde_json::from_str::<Timestamp>("\"yester\\u001bday\"").expect_err("no time");
        assert!(error.to_string().starts_with("\"yester\\u{1b}day\" is not a time in RFC 3339"), "{error}");
    }

    #[test]
    fn seconds_are_clamped_to_the_years_that_can_be_written() {
        for (seconds, written) in [
            (0, "1970-01-01T00:00:00Z"),
            (-62_135_596_800, "0001-01-01T00:00:00Z"),
            (-62_135_596_801, "0001-01-01T00:00:00Z"),
            (i64::MIN, "0001-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "9999-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_unix(seconds).to_string(), written, "{seconds}");
        }
        assert_eq!(Timestamp::from_unix(0), Timestamp::EPOCH);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in any::<i64>(), near in -100_000_000_000..300_000_000_000_i64) {
            for seconds in [seconds, near] {
                let moment = Timestamp::from_unix(seconds);
                prop_assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
            }
        }
    }
}
