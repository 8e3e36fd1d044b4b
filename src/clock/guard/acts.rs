//! What an operator may tell the guard: that the clock is right as it is, ahead or, on purpose, behind.

use std::sync::Arc;

use super::{GuardedClock, Keeping, Status, Trust, View};
use crate::clock::{Clock as _, Reading};

/// Why the clock was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system clock tells {:.0}, earlier than it did before ({:.0}): accepting it would turn policy time back; set the \
     clock right, or reset the guard if what it told before was wrong",
    .reading.raw, .reading.at
)]
pub struct Earlier {
    pub reading: Reading,
}

/// What an act has done: how the clock stood before and stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acted {
    pub before: Status,
    pub after: Status,
}

impl GuardedClock {
    /// Takes the system clock for right as it is now, as a time service would: a leap ahead is over, and prohibitions end by
    /// it again. Kept in the file at once.
    ///
    /// # Errors
    /// Where the system clock is behind: then nothing is changed.
    pub fn accept(&self) -> Result<Acted, Earlier> {
        let before = self.assess();
        if before.trust == Trust::Behind {
            return Err(Earlier { reading: before.reading });
        }
        self.begin_anew(true);
        Ok(Acted { before, after: self.assess() })
    }

    /// Forgets every instant seen and takes the system clock as it is now, also where that turns policy time back. Kept in
    /// the file at once.
    pub fn reset(&self) -> Acted {
        let before = self.assess();
        self.begin_anew(false);
        Acted { before, after: self.assess() }
    }

    /// `onward` holds policy time where it is, should the system clock have been set back in this very moment.
    fn begin_anew(&self, onward: bool) {
        let mut keeping = self.lock();
        let marked = (self.marks)();
        let Reading { raw, boot, .. } = self.source.read();
        let at = if onward { raw.max(self.read().at) } else { raw };
        self.view.store(Arc::new(View::new(at, boot, marked)));
        let Keeping { latest, borne_out, told: _, path: _, fault: _ } = &mut *keeping;
        // Whoever takes the clock for right bears it out; after a reset the first instant is as good as any.
        (*latest, *borne_out) = (at, onward);
        drop(keeping);
        self.save();
    }
}
