//! The log: to standard error, so that whoever starts the daemon decides where it goes.

use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be started")]
pub struct LogError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Starts the log for the whole process, with lines of this level and above: `error`, `warn`, `info`, `debug` or `trace`.
///
/// # Errors
/// Where the level is none of these, or a log was started before.
pub fn start(level: &str, format: Format) -> Result<(), LogError> {
    let filter = EnvFilter::from_str(level).map_err(|error| LogError(error.into()))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Escaping).with_target(false);
    match format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    }
    .map_err(LogError)
}

/// Writes each line with its control characters escaped, so that no value can forge a line or move the cursor.
#[derive(Debug, Clone, Copy)]
struct Escaping;

impl<'a> MakeWriter<'a> for Escaping {
    type Writer = EscapingWriter<std::io::Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter(std::io::stderr())
    }
}

/// One event is one call of `write`; its last octet ends the line.
struct EscapingWriter<W>(W);

impl<W: std::io::Write> std::io::Write for EscapingWriter<W> {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let mut escaped = String::with_capacity(text.len());
        for character in line.chars() {
            match character {
                // Controls, and what turns the direction of writing or is not seen at all.
                '\u{202A}'..='\u{202E}'
                | '\u{2066}'..='\u{2069}'
                | '\u{200B}'..='\u{200F}'
                | '\u{2028}'
                | '\u{2029}' => {
                    escaped.extend(character.escape_unicode());
                }
                control if control.is_control() => escaped.extend(control.escape_unicode()),
                plain => escaped.push(plain),
            }
        }
        escaped.push('\n');
        self.0.write_all(escaped.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn no_value_forges_a_line_or_moves_the_cursor() {
        let mut written = Vec::new();
        let event = "WARN name=a\nERROR forged\r\u{1b}[2J\u{9b}\u{202e}x\n";
        EscapingWriter(&mut written).write_all(event.as_bytes()).unwrap();
        let line = String::from_utf8(written).unwrap();
        assert_eq!(line, "WARN name=a\\u{a}ERROR forged\\u{d}\\u{1b}[2J\\u{9b}\\u{202e}x\n");
    }
}
