//! The headers of Standard Webhooks. Pure.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How a secret begins.
const PREFIX: &str = "whsec_";

/// The value of `webhook-signature`: one signature for each secret, so that whoever has either can tell.
pub(crate) fn signatures(secrets: &[String], id: &str, timestamp: u64, body: &str) -> Result<String, String> {
    let signed = secrets.iter().map(|secret| {
        let key = key(secret)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body.as_bytes());
        Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    });
    Ok(signed.collect::<Result<Vec<_>, String>>()?.join(" "))
}

fn key(secret: &str) -> Result<Vec<u8>, String> {
    let told = || format!("a secret is `{PREFIX}` and 24 to 64 bytes in base64");
    let key = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok()).ok_or_else(told)?;
    if (24..=64).contains(&key.len()) { Ok(key) } else { Err(told()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn it_signs_as_others_do() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()];
        let signed = signatures(&secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, "{\"test\": 2432232314}");
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs_and_none_is_told() {
        let secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
        let both = signatures(&secrets.map(str::to_owned), "a", 1, "{}").unwrap();
        assert_eq!(both.split(' ').count(), 2);
        for bad in ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_%%%"] {
            let refused = signatures(&[bad.to_owned()], "a", 1, "{}").unwrap_err();
            assert_eq!(refused, "a secret is `whsec_` and 24 to 64 bytes in base64", "{bad}");
        }
    }
}
