//! The texts of notices by mail: templates of the program, or of the operator, who may say what he likes and reach nothing else.
//! No template can name another file, run without end, or write without bound; what is put into a page is escaped.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value};

use super::facts::{Facts, clean};

/// The templates by the names of their files.
const SUBJECT: &str = "subject.txt";
const TEXT: &str = "text.txt";
const PAGE: &str = "page.html";
const SHIPPED: [(&str, &str); 3] = [
    (SUBJECT, include_str!("templates/subject.txt")),
    (TEXT, include_str!("templates/text.txt")),
    (PAGE, include_str!("templates/page.html")),
];
/// The largest template, in octets.
const MAX_TEMPLATE: u64 = 64 << 10;
/// The longest text that comes out of one, in octets.
const MAX_OUTPUT: usize = 1 << 20;
/// The longest subject, in characters.
const MAX_SUBJECT: usize = 180;
/// How much a template may do: a list of a thousand devices takes some 100,000 instructions.
const FUEL: u64 = 2_000_000;

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the template {} is larger than {MAX_TEMPLATE} octets", path.display())]
    Large { path: PathBuf },
    #[error("the template {name} cannot be used: {}", clean(reason))]
    Wrong { name: &'static str, reason: String },
}

/// What is to be sent by mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line of visible characters.
    pub subject: String,
    pub text: String,
    pub page: String,
}

/// The templates.
#[derive(Debug, Clone)]
pub struct Templates(Arc<Environment<'static>>);

impl Templates {
    /// Loads the templates of a folder; those that are not there are the program's.
    ///
    /// # Errors
    /// Where the folder or one of them cannot be read, or is none.
    pub fn load(folder: Option<&Path>) -> Result<Self, TemplateError> {
        if let Some(path) = folder {
            std::fs::read_dir(path).map_err(|source| TemplateError::Read { path: path.to_owned(), source })?;
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|error| wrong(SUBJECT, &error))?);
        for (name, shipped) in SHIPPED {
            let own = folder.map(|folder| read(&folder.join(name))).transpose()?.flatten();
            let source = own.unwrap_or_else(|| shipped.to_owned());
            environment.add_template_owned(name, source).map_err(|error| wrong(name, &error))?;
        }
        Ok(Self(Arc::new(environment)))
    }

    /// Writes a notice by the templates.
    ///
    /// # Errors
    /// Where a template fails or writes too much.
    pub fn render(&self, facts: &Facts) -> Result<Rendered, TemplateError> {
        let subject = self.one(SUBJECT, facts)?;
        // Whatever a template makes of it, a subject is one line.
        let words: Vec<_> = subject.split_whitespace().map(clean).collect();
        let subject = words.join(" ").chars().take(MAX_SUBJECT).collect();
        Ok(Rendered { subject, text: self.one(TEXT, facts)?, page: self.one(PAGE, facts)? })
    }

    fn one(&self, name: &'static str, facts: &Facts) -> Result<String, TemplateError> {
        let template = self.0.get_template(name).map_err(|error| wrong(name, &error))?;
        let mut output = Bounded(Vec::new());
        let rendered = template.render_captured_to(Value::from(Serde(facts)), &mut output);
        rendered.map_err(|error| wrong(name, &error))?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }
}

/// Takes no more than a bound.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.0.len() + octets.len() > MAX_OUTPUT {
            return Err(io::Error::other(format!("it writes more than {MAX_OUTPUT} octets")));
        }
        self.0.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn read(path: &Path) -> Result<Option<String>, TemplateError> {
    let failed = |source| TemplateError::Read { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.is_file() || found.len() > MAX_TEMPLATE => {
            return Err(TemplateError::Large { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    std::fs::read_to_string(path).map(Some).map_err(failed)
}

fn wrong(name: &'static str, error: &minijinja::Error) -> TemplateError {
    let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
    let mut reason = format!("{line}{error}");
    let mut source = std::error::Error::source(error);
    while let Some(of) = source {
        reason.push_str(&format!(": {of}"));
        source = of.source();
    }
    TemplateError::Wrong { name, reason }
}
