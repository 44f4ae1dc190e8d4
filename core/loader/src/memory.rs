//! How many bytes a plugin holds, if it was built to count them.

use std::ops::Range;

/// The plugin's own counter.
#[derive(Clone, Copy)]
pub(crate) struct MemoryCounter(extern "C" fn() -> u64);

impl MemoryCounter {
    /// Reads what the plugin told: the address of a function that takes nothing and returns the number. None if it does not lie
    /// in the plugin.
    ///
    /// # Safety
    /// The plugin of this range told it, under the contract's name for it, and whoever reads the memory knows the plugin to be
    /// mapped.
    pub(crate) unsafe fn counted_at(bytes: &[u8], range: &Range<usize>) -> Option<Self> {
        let address = usize::from_ne_bytes(bytes.try_into().ok()?);
        if !range.contains(&address) {
            return None;
        }
        // SAFETY: as promised, a function of this type is there.
        Some(MemoryCounter(unsafe { std::mem::transmute::<usize, extern "C" fn() -> u64>(address) }))
    }

    /// How many bytes it holds now. Only while the plugin is mapped.
    pub(crate) fn held(self) -> u64 {
        (self.0)()
    }
}
