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

#[cfg(test)]
mod tests {
    use super::*;

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
