//! Sheets of paper that are written from top to bottom; a new one is taken where the last is full.

use pdf_writer::{Content, Name, Str};

use super::font::{self, Face};

/// As wide as A4 and as high as Letter, in points: both print it without making it smaller.
pub(super) const WIDTH: f32 = 595.0;
pub(super) const HEIGHT: f32 = 792.0;
pub(super) const LEFT: f32 = 42.0;
/// Between the margins.
pub(super) const WITHIN: f32 = WIDTH - 2.0 * LEFT;
const TOP: f32 = HEIGHT - 40.0;
const BOTTOM: f32 = 44.0;

/// What is written so far.
pub(super) struct Sheets {
    full: Vec<Content>,
    content: Content,
    y: f32,
}

impl Sheets {
    pub(super) fn new() -> Self {
        Self { full: Vec::new(), content: Content::new(), y: TOP }
    }

    /// Returns how far down the sheet is written: points from its lower edge.
    pub(super) const fn y(&self) -> f32 {
        self.y
    }

    pub(super) fn is_short_of(&self, height: f32) -> bool {
        self.y - height < BOTTOM
    }

    /// Takes a new sheet.
    pub(super) fn turn(&mut self) {
        self.full.push(std::mem::replace(&mut self.content, Content::new()));
        self.y = TOP;
    }

    /// Takes a new sheet where less than this is left.
    pub(super) fn keep(&mut self, height: f32) {
        if self.is_short_of(height) && self.y < TOP {
            self.turn();
        }
    }

    pub(super) fn space(&mut self, height: f32) {
        self.y -= height;
    }

    /// Writes a paragraph.
    pub(super) fn text(&mut self, text: &str, face: Face, size: f32, x: f32, width: f32) {
        for line in font::wrap(text, face, size, width) {
            if self.is_short_of(size * 1.3) {
                self.turn();
            }
            self.space(size * 1.3);
            self.line_at(x, self.y + size * 0.3, face, size, &line);
        }
        self.space(2.5);
    }

    /// Writes one line with its left end on a place.
    pub(super) fn line_at(&mut self, x: f32, y: f32, face: Face, size: f32, text: &str) {
        let name = match face {
            Face::Plain => Name(b"F1"),
            Face::Bold => Name(b"F2"),
        };
        self.content.begin_text().set_font(name, size).set_text_matrix([1.0, 0.0, 0.0, 1.0, x, y]);
        self.content.show(Str(&font::encode(text))).end_text();
    }

    /// Draws a line from margin to margin.
    pub(super) fn rule(&mut self, width: f32) {
        self.content.set_stroke_gray(0.3).set_line_width(width);
        self.content.move_to(LEFT, self.y).line_to(LEFT + WITHIN, self.y).stroke();
    }

    pub(super) fn frame(&mut self, x: f32, y: f32, width: f32, height: f32) {
        self.content.set_stroke_gray(0.5).set_line_width(0.6).rect(x, y, width, height).stroke();
    }

    pub(super) fn filled(&mut self, x: f32, y: f32, width: f32, height: f32, grey: f32) {
        self.content.set_fill_gray(grey).set_stroke_gray(0.13).set_line_width(0.5);
        self.content.rect(x, y, width, height).fill_nonzero_and_stroke().set_fill_gray(0.0);
    }

    pub(super) fn stroke(&mut self, from: (f32, f32), to: (f32, f32), grey: f32, dashed: bool) {
        self.content.save_state().set_stroke_gray(grey).set_line_width(if dashed { 0.9 } else { 0.5 });
        if dashed {
            self.content.set_dash_pattern([3.0, 2.0], 0.0);
        }
        self.content.move_to(from.0, from.1).line_to(to.0, to.1).stroke().restore_state();
    }

    pub(super) fn finish(mut self) -> Vec<Content> {
        self.full.push(self.content);
        self.full
    }
}
