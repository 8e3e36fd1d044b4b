//! The allocator of the program, and how soon it gives memory back to the system.
//!
//! No safe call sets an option of it, hence the unsafe code. It is sound: the function takes two numbers and stores the one at
//! the place of the other in a table of the allocator's own, where its bounds are checked and which any thread may read.

#![allow(unsafe_code, reason = "the proof stands above; the library has no safe call")]

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How long a page that is empty stays, in milliseconds; by its place in the allocator's list of options.
const PURGE_DELAY: mi_option_t = 15;

/// Has pages go back to the system once they are empty. They would stay until something is allocated long after otherwise,
/// which a resolver at rest never does: reading a list of a million names left it with four times what it holds.
pub(crate) fn give_back_at_once() {
    // SAFETY: it stores a number at a place that it checks.
    unsafe { mi_option_set(PURGE_DELAY, 0) }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::{PURGE_DELAY, give_back_at_once};

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: it reads a number at a place that it checks.
        let get = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(get(), 1000, "the default is another now, or so is the place");
        give_back_at_once();
        assert_eq!(get(), 0);
    }
}
