//! Names that nobody else has: not another process, not one in another container whose processes have the same numbers.

use rustix::rand::{GetRandomFlags, getrandom};
use std::fmt::Write;

/// 32 hexadecimal digits.
pub(crate) fn name() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    let got = getrandom(&mut bytes, GetRandomFlags::empty())?;
    camlock_policy::always!(got == bytes.len(), "the kernel gives so few random bytes whole");
    Ok(bytes.iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    }))
}
