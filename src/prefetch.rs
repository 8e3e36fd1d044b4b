//! Has the processor fetch memory that is needed in a moment, so that several fetches wait at the same time.
//!
//! What it gains: what many clients ask for lies apart in memory, and each piece takes some 100 ns to come, one after the
//! other where nobody asks for the next before the last has come.
//!
//! Why it is sound: the instruction reads nothing that the program could see and never faults, whatever the address; here
//! it is that of an octet of a value that is borrowed.

#![allow(unsafe_code, reason = "the proof stands above; the standard library has no safe call that does this")]

/// The octets that come at once.
const LINE: usize = 64;

/// Fetches the line of the octet at `at`; nothing where there is none.
#[inline]
pub(crate) fn octet(octets: &[u8], at: usize) {
    if let Some(octet) = octets.get(at) {
        line(octet);
    }
}

/// Fetches all of a value; not what it points to.
#[inline]
pub(crate) fn value<T>(of: &T) {
    let start = std::ptr::from_ref(of).cast::<u8>();
    for at in (0..size_of::<T>()).step_by(LINE) {
        line(start.wrapping_add(at));
    }
    // The last one, where the value begins in the middle of a line.
    line(start.wrapping_add(size_of::<T>().saturating_sub(1)));
}

#[inline]
fn line(octet: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read that the program could see, and no address is wrong.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(octet.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = octet;
}
