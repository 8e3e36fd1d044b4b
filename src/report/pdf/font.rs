//! Helvetica as PDF has it: which characters there are (WinAnsiEncoding, ISO 32000-1, annex D), and how wide (Adobe's metrics of
//! the fourteen fonts that every reader has).

/// Upright or bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    Plain,
    Bold,
}

impl Face {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "Helvetica",
            Self::Bold => "Helvetica-Bold",
        }
    }
}

/// Characters from 32 to 126, in thousandths of the size.
const PLAIN: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];
const BOLD: [u16; 95] = [
    278, 333, 474, 556, 556, 889, 722, 238, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 722, 667, 611, 778, 722, 278, 556, 722, 611, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 333, 278, 333, 584, 556, 333, 556, 611, 556, 611,
    556, 333, 611, 611, 278, 278, 556, 278, 889, 611, 611, 611, 611, 389, 556, 333, 611, 556, 778, 556, 556, 500, 389,
    280, 389, 584,
];
/// Characters from 160 to 255.
const PLAIN_HIGH: [u16; 96] = [
    278, 333, 556, 556, 556, 556, 260, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333, 333, 556, 537,
    278, 333, 333, 365, 556, 834, 834, 834, 611, 667, 667, 667, 667, 667, 667, 1000, 722, 667, 667, 667, 667, 278, 278,
    278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611, 556, 556, 556, 556, 556,
    556, 889, 500, 556, 556, 556, 556, 278, 278, 278, 278, 556, 556, 556, 556, 556, 556, 556, 584, 611, 556, 556, 556,
    556, 500, 556, 500,
];
const BOLD_HIGH: [u16; 96] = [
    278, 333, 556, 556, 556, 556, 280, 556, 333, 737, 370, 556, 584, 333, 737, 333, 400, 584, 333, 333, 333, 611, 556,
    278, 333, 333, 365, 556, 834, 834, 834, 611, 722, 722, 722, 722, 722, 722, 1000, 722, 667, 667, 667, 667, 278, 278,
    278, 278, 722, 722, 778, 778, 778, 778, 778, 584, 778, 722, 722, 722, 722, 667, 667, 611, 556, 556, 556, 556, 556,
    556, 889, 556, 556, 556, 556, 556, 278, 278, 278, 278, 611, 611, 611, 611, 611, 611, 611, 584, 611, 611, 611, 611,
    611, 556, 611, 556,
];
/// Characters that stand between, with their widths.
const BETWEEN: [(char, u8, u16, u16); 10] = [
    ('€', 128, 556, 556),
    ('‚', 130, 222, 278),
    ('„', 132, 333, 500),
    ('…', 133, 1000, 1000),
    ('‘', 145, 222, 278),
    ('’', 146, 222, 278),
    ('“', 147, 333, 500),
    ('”', 148, 333, 500),
    ('•', 149, 350, 350),
    ('–', 150, 556, 556),
];

/// Returns the code of a character and its width; none where the font lacks it.
fn glyph(character: char, face: Face) -> Option<(u8, u16)> {
    let (low, high) = match face {
        Face::Plain => (&PLAIN, &PLAIN_HIGH),
        Face::Bold => (&BOLD, &BOLD_HIGH),
    };
    if let Some((_, code, plain, bold)) = BETWEEN.iter().find(|of| of.0 == character) {
        return Some((*code, if face == Face::Plain { *plain } else { *bold }));
    }
    let code = u8::try_from(u32::from(character)).ok()?;
    match code {
        32..=126 => Some((code, low[usize::from(code - 32)])),
        160..=255 => Some((code, high[usize::from(code - 160)])),
        _ => None,
    }
}

/// Returns a text in which what the font lacks is written out.
fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match glyph(character, Face::Plain) {
            Some(_) => shown.push(character),
            None => shown.extend(character.escape_unicode()),
        }
    }
    shown
}

/// Returns the octets that show a text.
pub(super) fn encode(text: &str) -> Vec<u8> {
    shown(text).chars().filter_map(|character| glyph(character, Face::Plain)).map(|(code, _)| code).collect()
}

/// Returns how wide a text is, in points.
pub(super) fn width(text: &str, face: Face, size: f32) -> f32 {
    let units: u32 =
        shown(text).chars().filter_map(|character| glyph(character, face)).map(|(_, of)| u32::from(of)).sum();
    units as f32 * size / 1000.0
}

/// Breaks a text into lines that are no wider than `width`: between words, behind dots and commas, and where nothing else
/// helps anywhere.
pub(super) fn wrap(text: &str, face: Face, size: f32, most: f32) -> Vec<String> {
    let text = shown(text);
    let (mut lines, mut line, mut used) = (Vec::new(), String::new(), 0.0);
    for piece in text.split_inclusive([' ', '.', ',', '/', '-', '=']) {
        let wide = width(piece.trim_end(), face, size);
        if used + wide > most && !line.is_empty() {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0.0;
        }
        if wide <= most {
            line.push_str(piece);
            used += width(piece, face, size);
            continue;
        }
        for character in piece.chars() {
            let wide = width(character.encode_utf8(&mut [0; 4]), face, size);
            if used + wide > most && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
                used = 0.0;
            }
            line.push(character);
            used += wide;
        }
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_its_column_and_nothing_is_lost() {
        let long = "x".repeat(300);
        for text in
            ["", "a", "one two three four", "a.b.c.example.", long.as_str(), "Größe „ä“ – 7 €", "\u{430}\u{1f600}"]
        {
            for most in [12.0, 40.0, 200.0] {
                let lines = wrap(text, Face::Bold, 7.5, most);
                assert!(lines.iter().all(|line| width(line, Face::Bold, 7.5) <= most), "{text:?} {lines:?}");
                let whole = |text: &str| text.replace(' ', "");
                assert_eq!(whole(&lines.concat()), whole(&shown(text)));
            }
        }
        assert_eq!(wrap("one two", Face::Plain, 10.0, 30.0), ["one", "two"]);
    }

    #[test]
    fn what_the_font_lacks_is_written_out() {
        assert_eq!(encode("ä\u{430}€"), b"\xe4\\u{430}\x80");
        assert_eq!(encode("(\\)"), b"(\\)");
    }
}
