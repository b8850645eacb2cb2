//! Loops over numbers with the widest vectors that the processor has.
//!
//! The crate is built for every x86-64; what runs in [`vectorized`] is compiled once more for AVX2 and
//! for AVX-512, and chosen when it runs. The arithmetic and its order are the same in each, so that
//! the results are.
//!
//! Only what is inlined is compiled so: the closures are marked `#[inline(always)]`, as are the
//! functions they call.

use std::sync::LazyLock;

/// Runs `loops`; what they call takes part where it is inlined.
#[inline(always)]
pub fn vectorized<R>(loops: impl FnOnce() -> R) -> R {
    static ARCH: LazyLock<pulp::Arch> = LazyLock::new(pulp::Arch::new);
    ARCH.dispatch(loops)
}
