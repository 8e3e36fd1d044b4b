//! The log. Whatever a value holds, it stays on its line, inside its quotes, and away from the terminal.

use std::fmt::{self, Write as _};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::{Format as Formatter, Json, JsonFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Instant, level, message, then `key=value`, for people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
    /// Entries of the journal of systemd, each field one of the entry's.
    Journal,
}

/// Why the log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("`{0}` is no level: it is one of error, warn, info, debug, trace")]
    Level(String),
    #[error("a log was started before")]
    Started,
    #[error("the journal of systemd does not take entries; set [log] format to \"text\" or \"json\"")]
    Journal(#[source] io::Error),
}

/// Starts the log for the whole process, to standard error, so that whoever starts the daemon decides where it goes; with
/// lines of this level and above: `error`, `warn`, `info`, `debug` or `trace`.
///
/// # Errors
/// Where the level is none of these, or a log was started before.
pub fn start(level: &str, format: Format) -> Result<(), LogError> {
    let level = read(level).ok_or_else(|| LogError::Level(level.to_owned()))?;
    let subscriber = match format {
        Format::Text | Format::Json => subscriber(level, format, io::stderr),
        Format::Journal => journal(level).map_err(LogError::Journal)?,
    };
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Started)
}

fn read(level: &str) -> Option<LevelFilter> {
    match level {
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// Libraries are heard from this level on only: some write lines for each query, which would double its cost.
const LIBRARIES: LevelFilter = LevelFilter::WARN;

fn filter(level: LevelFilter) -> EnvFilter {
    let own = format!("interdict={level}").parse().expect("a level behind a module is a directive");
    EnvFilter::default().add_directive(LIBRARIES.min(level).into()).add_directive(own)
}

/// Fields of ours begin with `INTERDICT_`, so that no name can be taken for one of the journal's own; values are sent with their
/// lengths, so that none can hold another field.
fn journal(level: LevelFilter) -> io::Result<Box<dyn Subscriber + Send + Sync>> {
    let layer = tracing_journald::layer()?
        .with_field_prefix(Some("INTERDICT".to_owned()))
        .with_syslog_identifier("interdict".to_owned());
    Ok(Box::new(tracing_subscriber::registry().with(filter(level)).with(layer)))
}

fn subscriber<W>(level: LevelFilter, format: Format, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter(level)).with_writer(writer);
    match format {
        Format::Text | Format::Journal => Box::new(builder.with_ansi(false).event_format(OneLine(Text)).finish()),
        Format::Json => {
            let json = Formatter::default().with_target(false).json().flatten_event(true);
            Box::new(builder.fmt_fields(JsonFields::new()).event_format(OneLine(json)).finish())
        }
    }
}

/// How a format writes a character that it lets through but a terminal must not see.
trait Escape {
    fn escape(character: char, out: &mut String);
}

/// Writes what the inner format gives as one line in which no character commands a terminal.
struct OneLine<F>(F);

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N> + Escape,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        let mut clean = String::with_capacity(line.len() + 1);
        for character in line.chars() {
            if commands_terminal(character) { F::escape(character, &mut clean) } else { clean.push(character) }
        }
        clean.push('\n');
        writer.write_str(&clean)
    }
}

/// Control characters, and what breaks a line, turns the direction of writing or is not seen (Unicode, section 23.2).
fn commands_terminal(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
        )
}

impl Escape for Formatter<Json, SystemTime> {
    fn escape(character: char, out: &mut String) {
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            _ = write!(out, "\\u{unit:04x}");
        }
    }
}

/// The format for people.
struct Text;

impl Escape for Text {
    fn escape(character: char, out: &mut String) {
        out.extend(character.escape_unicode());
    }
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {:>5}", event.metadata().level())?;
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(writer, " {}{}", fields.message, fields.rest)?;
        writer.write_char('\n')
    }
}

/// The fields of one message as text.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn value(&mut self, field: &Field, text: &str) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+*[]%@#,".contains(c);
        _ = write!(self.rest, " {}=", field.name());
        // A value with a blank, a quote or an equals sign could pass for further fields; quotes keep it in its place.
        _ = if !text.is_empty() && text.chars().all(plain) {
            self.rest.write_str(text)
        } else {
            write!(self.rest, "{text:?}")
        };
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.value(field, value) }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut chain = value.to_string();
        let mut cause = value.source();
        while let Some(source) = cause {
            _ = write!(chain, ": {source}");
            cause = source.source();
        }
        self.value(field, &chain);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            _ = write!(self.message, "{value:?}");
        } else {
            self.value(field, &format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: &str, format: Format, log: impl FnOnce()) -> String {
        let level = read(level).unwrap();
        let captured = Captured::default();
        let writer = captured.clone();
        tracing::subscriber::with_default(subscriber(level, format, move || writer.clone()), log);
        let octets = captured.0.lock().unwrap().clone();
        String::from_utf8(octets).unwrap()
    }

    /// A line break, a clear-screen, a bell, an 8-bit CSI, a right-to-left override, DEL, and a forged field.
    const HOSTILE: &str =
        "a\nWARN interdict: all is well\r\x1b[2J\x07\u{9b}31m\u{202e}\u{7f}\u{2028} verdict=pass \"q\" \\";

    #[test]
    fn no_value_can_forge_a_line_or_command_a_terminal() {
        for format in [Format::Text, Format::Json] {
            let text = logged("info", format, || {
                tracing::info!(name = %HOSTILE, shown = ?HOSTILE, plain = HOSTILE, "told {HOSTILE}");
            });
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            let line = text.strip_suffix('\n').unwrap();
            assert!(!line.chars().any(commands_terminal), "{line}");
            if format == Format::Json {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                assert_eq!(object["name"], HOSTILE);
                assert_eq!(object["plain"], HOSTILE);
            }
        }
    }

    #[test]
    fn a_value_cannot_pass_for_another_field() {
        let text = logged("info", Format::Text, || {
            tracing::info!(name = %"x verdict=pass", client = "192.0.2.1", path = %"/a/b.toml", none = "", "told");
        });
        assert!(
            text.ends_with(
                "  INFO told \
                 name=\"x verdict=pass\" client=192.0.2.1 path=/a/b.toml none=\"\"\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn an_error_is_told_with_its_whole_chain() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read the list")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("disk is gone"));
        let text = logged("info", Format::Text, || {
            tracing::error!(error = &error as &dyn std::error::Error, "refused");
        });
        assert!(text.ends_with("refused error=\"cannot read the list: disk is gone\"\n"), "{text}");
    }

    #[test]
    fn a_level_is_one_of_five_words() {
        for level in ["off", "INFO,hyper=trace", "", "loud"] {
            assert!(matches!(start(level, Format::Text), Err(LogError::Level(_))), "{level}");
        }
    }

    #[test]
    fn libraries_are_heard_from_warnings_on() {
        let text = logged("debug", Format::Text, || {
            tracing::debug!("own");
            tracing::info!(target: "hickory_server::server", "theirs, for each query");
            tracing::warn!(target: "hickory_server::server", "theirs, a warning");
        });
        assert!(text.contains("own") && text.contains("a warning") && !text.contains("each query"), "{text}");
        let text = logged("error", Format::Text, || {
            tracing::warn!(target: "hickory_server::server", "theirs, a warning");
        });
        assert_eq!(text, "");
    }
}
