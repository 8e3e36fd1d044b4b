//! Instants as people give them: RFC 3339, always with an offset.

use jiff::Timestamp;
use jiff::civil::DateTime;

/// Reads an instant. One without an offset is refused, since it would be another one in every zone.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse()
        && !text.contains('[')
    {
        return Ok(instant);
    }
    match text.parse::<DateTime>() {
        Ok(_) if !text.contains('[') => {
            Err("it has no offset from UTC; write it as 2024-09-29T00:00:00-04:00, or with Z for UTC".to_owned())
        }
        _ => Err("it is not an instant of RFC 3339; write it as 2024-09-29T00:00:00-04:00".to_owned()),
    }
}

/// Reads a length of time such as `90s`, `15m`, `8h` or `30d`, in seconds.
pub(super) fn parse_length(text: &str) -> Result<u64, String> {
    const UNITS: [(char, u64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400), ('w', 7 * 86_400)];
    let unit = text.chars().last().and_then(|last| UNITS.iter().find(|(unit, _)| *unit == last));
    let length = unit.and_then(|(unit, seconds)| {
        let number = text.strip_suffix(*unit).filter(|number| number.bytes().all(|octet| octet.is_ascii_digit()))?;
        number.parse::<u64>().ok()?.checked_mul(*seconds)
    });
    length.filter(|length| *length > 0).ok_or_else(|| "write a number with its unit, such as 15m, 8h or 30d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_needs_its_unit() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("8h", 28_800), ("30d", 2_592_000), ("1w", 604_800)] {
            assert_eq!(parse_length(text), Ok(seconds), "{text}");
        }
        for text in ["", "8", "h", "0h", "-8h", "+8h", "8.5h", "8h30m", "8µ", "99999999999999999999h"] {
            assert!(parse_length(text).unwrap_err().contains("15m"), "{text}");
        }
    }

    #[test]
    fn an_instant_needs_its_offset() {
        let instant: Timestamp = "2024-09-29T04:00:00Z".parse().unwrap();
        for text in ["2024-09-29T00:00:00-04:00", "2024-09-29T04:00:00Z", "2024-09-29T04:00:00.000+00:00"] {
            assert_eq!(parse(text), Ok(instant), "{text}");
        }
        for text in ["2024-09-29T00:00:00", "2024-09-29 00:00:00", "2024-09-29"] {
            let told = parse(text).unwrap_err();
            assert!(told.contains("no offset") && told.contains("2024-09-29T00:00:00-04:00"), "{text}: {told}");
        }
        for text in ["", "now", "2024-13-29T00:00:00Z", "2024-09-29T00:00:00-04:00[America/New_York]"] {
            let told = parse(text).unwrap_err();
            assert!(told.contains("RFC 3339") && told.contains("2024-09-29T00:00:00-04:00"), "{text}: {told}");
        }
    }
}
