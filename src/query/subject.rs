//! What in an answer a rule could match, and through what the answer leads there.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::message::Name;

/// Where in an exchange something stood that was decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Through {
    /// It was asked for.
    Question,
    /// It is the target of a CNAME record in the answer.
    Cname,
    /// It is where a DNAME record in the answer leads (RFC 6672).
    Dname,
    /// It is the target of an SVCB or HTTPS record in the answer (RFC 9460).
    Svcb,
    /// It is the exchange of an MX record in the answer, or of one of its shape (AFSDB, RT, KX).
    Mx,
    /// It is the target of an SRV record in the answer (RFC 2782).
    Srv,
    /// It is a name server that the answer names.
    Ns,
    /// It is the replacement of a NAPTR record in the answer (RFC 3403).
    Naptr,
    /// Records of it came with the answer, though nobody asked for them.
    Owner,
    /// It is the address in an A or AAAA record of the answer.
    Address,
    /// It is an address hint in an SVCB or HTTPS record of the answer (RFC 9460, section 7.3).
    Hint,
}

impl Through {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Question,
        Self::Cname,
        Self::Dname,
        Self::Svcb,
        Self::Mx,
        Self::Srv,
        Self::Ns,
        Self::Naptr,
        Self::Owner,
        Self::Address,
        Self::Hint,
    ];

    /// Returns the word that records and scenario files use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Question => "question",
            Self::Cname => "cname",
            Self::Dname => "dname",
            Self::Svcb => "svcb",
            Self::Mx => "mx",
            Self::Srv => "srv",
            Self::Ns => "ns",
            Self::Naptr => "naptr",
            Self::Owner => "owner",
            Self::Address => "address",
            Self::Hint => "hint",
        }
    }

    /// Returns whether it leads to an address, and to a name otherwise.
    pub const fn is_to_address(self) -> bool {
        match self {
            Self::Address | Self::Hint => true,
            Self::Question
            | Self::Cname
            | Self::Dname
            | Self::Svcb
            | Self::Mx
            | Self::Srv
            | Self::Ns
            | Self::Naptr
            | Self::Owner => false,
        }
    }

    /// Returns whether all types of the question lead there, and not only the one that was asked for.
    pub const fn is_alias(self) -> bool {
        matches!(self, Self::Cname | Self::Dname)
    }
}

impl fmt::Display for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a rule can match: a name, or an address that an answer tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::large_enum_variant, reason = "a box would allocate for each kept answer that is decided again")]
pub enum Target {
    Name(Name),
    Address(IpAddr),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A [`Target`] of somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRef<'a> {
    Name(&'a Name),
    Address(IpAddr),
}

impl<'a> From<&'a Target> for TargetRef<'a> {
    fn from(target: &'a Target) -> Self {
        match target {
            Target::Name(name) => Self::Name(name),
            Target::Address(address) => Self::Address(*address),
        }
    }
}

impl<'a> From<&'a Name> for TargetRef<'a> {
    fn from(name: &'a Name) -> Self {
        Self::Name(name)
    }
}

/// What hangs on a subject: what is left of the answer without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// It is a name on the way from the question to its data: nothing is left.
    Chain,
    /// It is what the answer section says: nothing is left.
    Answer,
    /// It stands beside that, in the authority or additional section or as a hint: the answer holds without it.
    Aside,
}

/// A name or an address in an answer that a rule could match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub target: Target,
    pub through: Through,
    pub place: Place,
    /// Whether it is on the chain or hangs on the last name of it, so that whatever protects a name of the chain stands
    /// before it.
    pub behind_chain: bool,
}

/// Subjects as they are kept: as many octets as their names and addresses have, and two for each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subjects {
    octets: Box<[u8]>,
}

/// Stands where a name would begin, before an address of 4 or 16 octets: no label is as long.
const ADDRESS: u8 = 64;

impl Subjects {
    /// Keeps `subjects` in their order.
    pub fn new(subjects: &[Subject]) -> Self {
        let mut octets = Vec::with_capacity(Self::size_of(subjects));
        for Subject { target, through, place, behind_chain } in subjects {
            let place = match place {
                Place::Chain => 0,
                Place::Answer => 1,
                Place::Aside => 2,
            };
            octets.push(*through as u8 | place << 4 | u8::from(*behind_chain) << 6);
            match target {
                Target::Name(name) => octets.extend_from_slice(name.as_wire()),
                Target::Address(IpAddr::V4(address)) => {
                    octets.push(ADDRESS + 4);
                    octets.extend_from_slice(&address.octets());
                }
                Target::Address(IpAddr::V6(address)) => {
                    octets.push(ADDRESS + 16);
                    octets.extend_from_slice(&address.octets());
                }
            }
        }
        Self { octets: octets.into() }
    }

    /// Returns the subjects one by one. Allocates nothing.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.octets }
    }

    /// Returns how many octets they take once they are kept.
    pub fn size_of(subjects: &[Subject]) -> usize {
        let size = |of: &Subject| match &of.target {
            Target::Name(name) => 1 + name.as_wire().len(),
            Target::Address(IpAddr::V4(_)) => 6,
            Target::Address(IpAddr::V6(_)) => 18,
        };
        subjects.iter().map(size).sum()
    }

    /// Returns how many octets they take.
    pub const fn size(&self) -> usize {
        self.octets.len()
    }
}

impl<'a> IntoIterator for &'a Subjects {
    type Item = Subject;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Subjects one by one.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl Iterator for Iter<'_> {
    type Item = Subject;

    fn next(&mut self) -> Option<Subject> {
        let (first, rest) = self.rest.split_first()?;
        let through = *Through::ALL.get(usize::from(first & 0x0F))?;
        let behind_chain = first & 0x40 != 0;
        let place = match first >> 4 & 0x03 {
            0 => Place::Chain,
            1 => Place::Answer,
            _ => Place::Aside,
        };
        let address = |length: usize| rest.get(1..=length);
        let (target, length) = match rest.first()?.checked_sub(ADDRESS) {
            Some(4) => {
                let octets: [u8; 4] = address(4)?.try_into().ok()?;
                (Target::Address(Ipv4Addr::from(octets).into()), 5)
            }
            Some(_) => {
                let octets: [u8; 16] = address(16)?.try_into().ok()?;
                (Target::Address(Ipv6Addr::from(octets).into()), 17)
            }
            None => {
                let (name, length) = Name::read(rest, 0).ok()?;
                (Target::Name(name), length)
            }
        };
        self.rest = rest.get(length..)?;
        Some(Subject { target, through, place, behind_chain })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_kept_as_they_are() {
        let targets = [
            Target::Name("a.example".parse().unwrap()),
            Target::Address([192, 0, 2, 1].into()),
            Target::Name(Name::root()),
            Target::Address("2001:db8::1".parse().unwrap()),
            Target::Name(format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61)).parse().unwrap()),
        ];
        let mut subjects = Vec::new();
        for through in Through::ALL {
            for place in [Place::Chain, Place::Answer, Place::Aside] {
                let behind_chain = place == Place::Answer;
                let of = |target: &Target| Subject { target: target.clone(), through, place, behind_chain };
                subjects.extend(targets.iter().map(of));
            }
        }
        let kept = Subjects::new(&subjects);
        assert_eq!(kept.iter().collect::<Vec<_>>(), subjects);
        assert_eq!(Subjects::new(&subjects[1..2]).size(), 6);
        assert_eq!(Subjects::default().iter().next(), None);
    }

    #[test]
    fn every_place_has_a_word_of_its_own() {
        for (at, through) in Through::ALL.into_iter().enumerate() {
            assert_eq!(through as usize, at);
            assert!(Through::ALL[..at].iter().all(|other| other.as_str() != through.as_str()));
        }
    }
}
