//! Parts the text of a zone file into entries and tokens (RFC 1035, section 5.1).

/// One entry: a line, or several inside parentheses.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// Number of its first line, from 1.
    pub(super) line: usize,
    /// Its first line.
    pub(super) text: &'a str,
    /// Whether it starts with a blank, and so belongs to the name above.
    pub(super) indented: bool,
    /// Its parts, or why they cannot be told apart.
    pub(super) tokens: Result<Vec<Token<'a>>, &'static str>,
}

/// One part of an entry, its escapes still in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    /// Whether it stood in quotes, which are not part of `text`.
    pub(super) quoted: bool,
}

impl Token<'_> {
    /// Returns the octets that the token stands for: `\DDD` and `\X` taken apart.
    ///
    /// # Errors
    /// Where a backslash is followed by something else.
    pub(super) fn octets(&self) -> Result<Vec<u8>, &'static str> {
        const BAD: &str = "a backslash must be followed by three digits up to 255, or by one other character";
        let mut octets = Vec::with_capacity(self.text.len());
        let mut rest = self.text.as_bytes();
        while let [first, tail @ ..] = rest {
            rest = tail;
            match (first, tail) {
                (b'\\', [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', after @ ..]) => {
                    let value = u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0');
                    octets.push(u8::try_from(value).map_err(|_| BAD)?);
                    rest = after;
                }
                (b'\\', [b'0'..=b'9', ..] | []) => return Err(BAD),
                (b'\\', [other, after @ ..]) => {
                    octets.push(*other);
                    rest = after;
                }
                (plain, _) => octets.push(*plain),
            }
        }
        Ok(octets)
    }
}

/// Returns the entries of a zone file that are not empty.
pub(super) fn entries(text: &str) -> impl Iterator<Item = Entry<'_>> {
    let (mut at, mut line) = (0, 1);
    std::iter::from_fn(move || {
        while at < text.len() {
            let (start, number) = (at, line);
            let mut lexer = Lexer { text, at, depth: 0 };
            let tokens = lexer.tokens();
            at = lexer.at;
            if tokens.is_err() {
                at = text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
            }
            let first = text[start..at].lines().next().unwrap_or_default();
            line += text[start..at].matches('\n').count();
            if tokens.as_ref().map_or(true, |tokens| !tokens.is_empty()) {
                return Some(Entry { line: number, text: first, indented: first.starts_with([' ', '\t']), tokens });
            }
        }
        None
    })
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes what belongs to one entry, the end of its line included.
    fn tokens(&mut self) -> Result<Vec<Token<'a>>, &'static str> {
        let mut tokens = Vec::new();
        while let Some(octet) = self.peek() {
            match octet {
                b'\n' if self.depth == 0 => {
                    self.at += 1;
                    return Ok(tokens);
                }
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b';' => self.at = self.text[self.at..].find('\n').map_or(self.text.len(), |length| self.at + length),
                b'(' => {
                    self.depth += 1;
                    self.at += 1;
                }
                b')' => {
                    self.depth = self.depth.checked_sub(1).ok_or("a parenthesis is closed that was not opened")?;
                    self.at += 1;
                }
                b'"' => tokens.push(self.quoted()?),
                _ => tokens.push(self.plain()?),
            }
        }
        if self.depth == 0 { Ok(tokens) } else { Err("a parenthesis is not closed") }
    }

    fn quoted(&mut self) -> Result<Token<'a>, &'static str> {
        let start = self.at + 1;
        self.skip_quoted()?;
        Ok(Token { text: &self.text[start..self.at - 1], quoted: true })
    }

    /// Goes from one quote behind the next.
    fn skip_quoted(&mut self) -> Result<(), &'static str> {
        self.at += 1;
        loop {
            match self.peek() {
                None | Some(b'\n') => return Err("a quote is not closed on its line"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => self.step()?,
            }
        }
    }

    fn plain(&mut self) -> Result<Token<'a>, &'static str> {
        let start = self.at;
        loop {
            match self.peek() {
                None | Some(b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')') => break,
                // As in `alpn="h2,h3"` (RFC 9460, section 2.1).
                Some(b'"') => self.skip_quoted()?,
                Some(_) => self.step()?,
            }
        }
        Ok(Token { text: &self.text[start..self.at], quoted: false })
    }

    /// Goes behind one character, or one that is escaped.
    fn step(&mut self) -> Result<(), &'static str> {
        for _ in 0..2 {
            let character = self.text[self.at..].chars().next().ok_or("a backslash ends the text")?;
            if character.is_control() && character != '\t' {
                return Err("a control character; write it as \\DDD");
            }
            self.at += character.len_utf8();
            if character != '\\' {
                break;
            }
        }
        Ok(())
    }
}
