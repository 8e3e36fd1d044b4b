//! The lease file of ISC dhcpd: statements that end with a semicolon or hold a block of statements. Of IPv6 it tells
//! neither a hardware address nor a name, so that those leases are passed over.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::{Lease, Leases, epoch, host_name};

/// The most words of a statement that are looked at; a longer one tells nothing that we ask for.
const MAX_WORDS: usize = 16;
/// The deepest that blocks may stand in each other; deeper ones count as this one.
const MAX_DEPTH: usize = 64;

/// A piece of the file with its line.
enum Token<'t> {
    Word(&'t str),
    /// What stands between quotes, as it is written.
    Text(&'t str),
    Open,
    Close,
    End,
}

struct Tokens<'t> {
    rest: &'t str,
    line: usize,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = (usize, Token<'t>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let trimmed = self.rest.trim_start();
            self.skip(self.rest.len() - trimmed.len());
            if !self.rest.starts_with('#') {
                break;
            }
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
        let line = self.line;
        let (length, token) = match self.rest.chars().next()? {
            '{' => (1, Token::Open),
            '}' => (1, Token::Close),
            ';' => (1, Token::End),
            '"' => {
                let end = end_of_text(self.rest)?;
                (end, Token::Text(&self.rest[1..end - 1]))
            }
            _ => {
                let ends = |c: char| c.is_whitespace() || matches!(c, '{' | '}' | ';' | '"' | '#');
                let length = self.rest.find(ends).unwrap_or(self.rest.len());
                (length, Token::Word(&self.rest[..length]))
            }
        };
        self.skip(length);
        Some((line, token))
    }
}

impl Tokens<'_> {
    fn skip(&mut self, length: usize) {
        let (passed, rest) = self.rest.split_at(length);
        self.line += passed.bytes().filter(|octet| *octet == b'\n').count();
        self.rest = rest;
    }
}

/// Returns the offset behind the closing quote; `None` where there is none.
fn end_of_text(text: &str) -> Option<usize> {
    let mut octets = text.bytes().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'\\' => drop(octets.next()),
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A block that is open.
enum Block {
    Lease(Box<Building>),
    Other,
}

/// What was said so far of one lease.
struct Building {
    address: IpAddr,
    lease: Lease,
    active: bool,
    /// The first line that is not understood, and whether the lease can be used all the same.
    fault: Option<(usize, bool)>,
}

pub(super) fn read(text: &str, leases: &mut Leases) {
    let mut blocks: Vec<Block> = Vec::new();
    let mut deeper = 0_usize;
    let mut words: Vec<&str> = Vec::new();
    for (line, token) in (Tokens { rest: text, line: 1 }) {
        match token {
            Token::Word(word) | Token::Text(word) if words.len() < MAX_WORDS => words.push(word),
            Token::Word(_) | Token::Text(_) => {}
            Token::End => {
                if let (Some(Block::Lease(building)), 0) = (blocks.last_mut(), deeper) {
                    building.take(&words, line);
                }
                words.clear();
            }
            Token::Open if blocks.len() == MAX_DEPTH => {
                deeper += 1;
                words.clear();
            }
            Token::Open => {
                blocks.push(open(&words, blocks.is_empty(), line, leases));
                words.clear();
            }
            Token::Close if deeper > 0 => deeper -= 1,
            Token::Close => {
                words.clear();
                match blocks.pop() {
                    Some(Block::Lease(building)) => building.finish(leases),
                    Some(Block::Other) => {}
                    None => leases.fault(line),
                }
            }
        }
    }
}

fn open(words: &[&str], at_top: bool, line: usize, leases: &mut Leases) -> Block {
    let (true, ["lease", address]) = (at_top, words) else { return Block::Other };
    match address.parse() {
        Ok(address) => {
            let lease = Lease { hardware: None, name: None, until: None };
            Block::Lease(Box::new(Building { address, lease, active: true, fault: None }))
        }
        Err(_) => {
            leases.fault(line);
            Block::Other
        }
    }
}

impl Building {
    fn take(&mut self, words: &[&str], line: usize) {
        match words {
            ["ends", rest @ ..] => match end(rest) {
                Some(until) => self.lease.until = until,
                None => self.fault = Some((line, false)),
            },
            ["binding", "state", state] => self.active = *state == "active",
            ["abandoned"] => self.active = false,
            ["hardware", "ethernet", address] => match address.parse() {
                Ok(hardware) => self.lease.hardware = Some(hardware),
                Err(_) => self.fault = Some((line, false)),
            },
            ["client-hostname", name] => match host_name(name) {
                Some(name) => self.lease.name = Some(name),
                None => drop(self.fault.get_or_insert((line, true))),
            },
            _ => {}
        }
    }

    fn finish(self, leases: &mut Leases) {
        if let Some((line, _)) = self.fault {
            leases.fault(line);
        }
        let usable = self.fault.is_none_or(|(_, usable)| usable);
        match self.active && usable {
            true => leases.give(self.address, self.lease),
            false => leases.take_back(self.address),
        }
    }
}

/// Reads `never`, `epoch SECONDS`, or weekday, date and time in UTC.
fn end(words: &[&str]) -> Option<Option<Timestamp>> {
    match words {
        ["never"] => Some(None),
        ["epoch", seconds] => epoch(seconds).map(Some),
        [_, date, time] => {
            let [year, month, day] = numbers(date, '/')?;
            let [hour, minute, second] = numbers(time, ':')?;
            let small = |number: i16| i8::try_from(number).ok();
            let date = Date::new(year, small(month)?, small(day)?).ok()?;
            let time = Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()?;
            TimeZone::UTC.to_timestamp(date.to_datetime(time)).ok().map(Some)
        }
        _ => None,
    }
}

fn numbers(text: &str, separator: char) -> Option<[i16; 3]> {
    let numbers: Option<Vec<i16>> = text.split(separator).map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}
