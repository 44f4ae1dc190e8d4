//! Whether a webhook comes from who knows the secret: in constant time. Pure.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Whether this is the secret. Hashed first, what is compared tells nothing of its length either.
pub(crate) fn is_secret(secret: &str, shown: &[u8]) -> bool {
    let same = |left: &[u8], right: &[u8]| {
        left.len() == right.len() && left.iter().zip(right).fold(0_u8, |all, (left, right)| all | (left ^ right)) == 0
    };
    same(&Sha256::digest(secret.as_bytes()), &Sha256::digest(shown))
}

/// Whether a body is signed with it, as GitHub does: `sha256=` and 64 digits.
pub(crate) fn is_signed(secret: &str, signature: &[u8], body: &[u8]) -> bool {
    let Some(digits) = signature.strip_prefix(b"sha256=") else { return false };
    let Ok(claimed) = data_encoding::HEXLOWER_PERMISSIVE.decode(digits) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(&claimed).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_own_example_is_signed_and_nothing_else_is() {
        // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
        let secret = "It's a Secret to Everybody";
        let signature = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(secret, signature, b"Hello, World!"));
        assert!(!is_signed(secret, signature, b"Hello, World?"));
        assert!(!is_signed("another", signature, b"Hello, World!"));
        for wrong in [&b""[..], b"sha256=", b"sha1=757107ea", &signature[..70], &signature[7..], b"sha256=zz"] {
            assert!(!is_signed(secret, wrong, b"Hello, World!"));
        }
    }

    #[test]
    fn the_secret_itself_is_known() {
        assert!(is_secret("open", b"open"));
        for wrong in [&b""[..], b"ope", b"open ", b"Open"] {
            assert!(!is_secret("open", wrong));
        }
    }
}
