//! Laravel's encrypter, for jobs that are `ShouldBeEncrypted`.
//!
//! An encrypted text is base64 of JSON `{iv, value, mac, tag}`. CBC is authenticated by an HMAC-SHA256
//! (hex) over the base64 texts of iv and value, GCM by its own tag (laravel/framework 12.x,
//! `Encryption/Encrypter.php`).

use aes_gcm::aead::Aead;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::Error;
use super::php::{self, Value};

/// The bytes of an authentication tag.
const TAG: usize = 16;

/// Standard base64, with or without padding, as PHP reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The ciphers that Laravel supports (`app.cipher`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cipher {
    /// `AES-128-CBC`
    Aes128Cbc,
    /// `AES-256-CBC`, Laravel's default.
    #[default]
    Aes256Cbc,
    /// `AES-128-GCM`
    Aes128Gcm,
    /// `AES-256-GCM`
    Aes256Gcm,
}

impl Cipher {
    /// The cipher of this name, in any case.
    ///
    /// # Errors
    /// [`Error::Key`] for any other name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match name.to_ascii_uppercase().as_str() {
            "AES-128-CBC" => Ok(Self::Aes128Cbc),
            "AES-256-CBC" => Ok(Self::Aes256Cbc),
            "AES-128-GCM" => Ok(Self::Aes128Gcm),
            "AES-256-GCM" => Ok(Self::Aes256Gcm),
            _ => Err(Error::Key(
                "the cipher must be AES-128-CBC, AES-256-CBC, AES-128-GCM, or AES-256-GCM",
            )),
        }
    }

    const fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }

    const fn iv_bytes(self) -> usize {
        if self.is_gcm() { 12 } else { 16 }
    }

    /// The cipher with keys of the same length that wrote a text: only those of GCM have a tag.
    const fn that_wrote(self, has_tag: bool) -> Self {
        match (self.key_bytes(), has_tag) {
            (16, false) => Self::Aes128Cbc,
            (16, true) => Self::Aes128Gcm,
            (_, false) => Self::Aes256Cbc,
            (_, true) => Self::Aes256Gcm,
        }
    }

    const fn is_gcm(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }
}

/// The application's key and those it had before. Its `Debug` shows no key.
#[derive(Clone)]
pub struct Keys {
    cipher: Cipher,
    current: Box<[u8]>,
    previous: Vec<Box<[u8]>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("cipher", &self.cipher)
            .field("previous", &self.previous.len())
            .finish_non_exhaustive()
    }
}

/// What an encrypted text holds; the order is that of Laravel's text.
#[derive(Serialize, Deserialize)]
struct Envelope {
    iv: String,
    value: String,
    mac: String,
    #[serde(default)]
    tag: Option<String>,
}

impl Envelope {
    fn read(text: &str) -> Option<Self> {
        serde_json::from_slice(&BASE64.decode(text).ok()?).ok()
    }
}

/// Whether a text has the form of an encrypted one.
pub(super) fn is_encrypted(text: &str) -> bool {
    Envelope::read(text).is_some()
}

impl Keys {
    /// Reads `APP_KEY`, and the keys of `APP_PREVIOUS_KEYS`, each plain or as `base64:…`.
    ///
    /// # Errors
    /// [`Error::Key`] when a key is not base64 or has not the length of the cipher (16 or 32 bytes).
    pub fn parse(app_key: &str, previous: &[&str], cipher: Cipher) -> Result<Self, Error> {
        let read = |text: &str| {
            let key = match text.strip_prefix("base64:") {
                Some(encoded) => BASE64
                    .decode(encoded)
                    .map_err(|_| Error::Key("the key is not base64"))?,
                None => text.as_bytes().to_vec(),
            };
            if key.len() == cipher.key_bytes() {
                Ok(key.into_boxed_slice())
            } else {
                Err(Error::Key(
                    "the key has not the length of the cipher: 16 bytes for AES-128, 32 for AES-256",
                ))
            }
        };
        let current = read(app_key)?;
        let previous = previous.iter().map(|key| read(key)).collect::<Result<_, _>>()?;
        Ok(Self {
            cipher,
            current,
            previous,
        })
    }

    /// Opens a text with the first key that fits. The text itself says whether CBC or GCM wrote it.
    ///
    /// # Errors
    /// [`Error::Decrypt`] when the text is not Laravel's, was changed, or fits no key.
    pub fn decrypt_string(&self, text: &str) -> Result<Vec<u8>, Error> {
        let envelope = Envelope::read(text).ok_or(Error::Decrypt("the text is not an encrypted one"))?;
        let cipher = self
            .cipher
            .that_wrote(envelope.tag.as_deref().is_some_and(|tag| !tag.is_empty()));
        let iv = BASE64.decode(&envelope.iv).unwrap_or_default();
        if iv.len() != cipher.iv_bytes() {
            return Err(Error::Decrypt(
                "its initial vector has not the length of the cipher",
            ));
        }
        let tag = BASE64
            .decode(envelope.tag.as_deref().unwrap_or_default())
            .unwrap_or_default();
        if tag.len() != if cipher.is_gcm() { TAG } else { 0 } {
            return Err(Error::Decrypt("its tag has not the length of the cipher"));
        }
        let value = BASE64
            .decode(&envelope.value)
            .map_err(|_| Error::Decrypt("its value is not base64"))?;
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let opened = keys.find_map(|key| {
            if cipher.is_gcm() {
                open_gcm(cipher, key, &iv, &[value.as_slice(), &tag].concat())
            } else {
                mac_holds(key, &envelope).then(|| open_cbc(cipher, key, &iv, value.clone()))?
            }
        });
        opened.ok_or(Error::Decrypt("it was changed, or encrypted with another key"))
    }

    /// Opens a text that holds a PHP-serialized value, as `Crypt::encrypt` writes it.
    ///
    /// # Errors
    /// Those of [`Keys::decrypt_string`], and [`Error::Php`] when the value cannot be read.
    pub fn decrypt_value(&self, text: &str) -> Result<Value, Error> {
        php::decode(&self.decrypt_string(text)?)
    }

    /// Encrypts bytes with the current key. `random` must be fresh random bytes on every call; GCM, which
    /// loses its secrecy when a vector comes twice, takes the first 12 of them.
    ///
    /// # Errors
    /// [`Error::Key`] when the cipher refuses the length of the text (over 64 GiB).
    pub fn encrypt_string(&self, plain: &[u8], random: [u8; 16]) -> Result<String, Error> {
        let iv = random.get(..self.cipher.iv_bytes()).unwrap_or_default();
        let sealed = if self.cipher.is_gcm() {
            seal_gcm(self.cipher, &self.current, iv, plain)
        } else {
            seal_cbc(self.cipher, &self.current, iv, plain)
        };
        let mut value = sealed.ok_or(Error::Key("the cipher cannot take the text"))?;
        let tag = if self.cipher.is_gcm() {
            value.split_off(value.len().saturating_sub(TAG))
        } else {
            Vec::new()
        };
        let mut envelope = Envelope {
            iv: BASE64.encode(iv),
            value: BASE64.encode(value),
            mac: String::new(),
            tag: Some(BASE64.encode(tag)),
        };
        if !self.cipher.is_gcm() {
            let mac = mac_of(&self.current, &envelope).ok_or(Error::Key("the key cannot be hashed"))?;
            envelope.mac = hex(&mac.finalize().into_bytes());
        }
        let json = serde_json::to_string(&envelope).unwrap_or_default();
        Ok(BASE64.encode(json))
    }

    /// Encrypts a value in its serialized form, as `Crypt::encrypt` does. For `random` see
    /// [`Keys::encrypt_string`].
    ///
    /// # Errors
    /// Those of [`Keys::encrypt_string`].
    pub fn encrypt_value(&self, value: &Value, random: [u8; 16]) -> Result<String, Error> {
        self.encrypt_string(&php::encode(value), random)
    }
}

/// The keyed hash over the texts of vector and value.
fn mac_of(key: &[u8], envelope: &Envelope) -> Option<Hmac<Sha256>> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).ok()?;
    mac.update(envelope.iv.as_bytes());
    mac.update(envelope.value.as_bytes());
    Some(mac)
}

/// Compared in constant time.
fn mac_holds(key: &[u8], envelope: &Envelope) -> bool {
    let expected = unhex(&envelope.mac);
    mac_of(key, envelope)
        .zip(expected)
        .is_some_and(|(mac, expected)| mac.verify_slice(&expected).is_ok())
}

fn open_cbc(cipher: Cipher, key: &[u8], iv: &[u8], mut value: Vec<u8>) -> Option<Vec<u8>> {
    let plain = if cipher.key_bytes() == 16 {
        let mode = cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv).ok()?;
        mode.decrypt_padded::<Pkcs7>(&mut value).ok()?.len()
    } else {
        let mode = cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv).ok()?;
        mode.decrypt_padded::<Pkcs7>(&mut value).ok()?.len()
    };
    value.truncate(plain);
    Some(value)
}

fn seal_cbc(cipher: Cipher, key: &[u8], iv: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = plain.to_vec();
    // Padding fills the last block, or adds one.
    buffer.resize(plain.len().checked_add(16)?, 0);
    let sealed = if cipher.key_bytes() == 16 {
        let mode = cbc::Encryptor::<aes::Aes128>::new_from_slices(key, iv).ok()?;
        mode.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).ok()?.len()
    } else {
        let mode = cbc::Encryptor::<aes::Aes256>::new_from_slices(key, iv).ok()?;
        mode.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).ok()?.len()
    };
    buffer.truncate(sealed);
    Some(buffer)
}

fn open_gcm(cipher: Cipher, key: &[u8], iv: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let nonce = iv.try_into().ok()?;
    if cipher.key_bytes() == 16 {
        Aes128Gcm::new_from_slice(key).ok()?.decrypt(nonce, sealed).ok()
    } else {
        Aes256Gcm::new_from_slice(key).ok()?.decrypt(nonce, sealed).ok()
    }
}

fn seal_gcm(cipher: Cipher, key: &[u8], iv: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let nonce = iv.try_into().ok()?;
    if cipher.key_bytes() == 16 {
        Aes128Gcm::new_from_slice(key).ok()?.encrypt(nonce, plain).ok()
    } else {
        Aes256Gcm::new_from_slice(key).ok()?.encrypt(nonce, plain).ok()
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = digits
        .chars()
        .map(|c| c.to_digit(16)?.try_into().ok())
        .collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty()
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn keys(cipher: Cipher) -> Keys {
        let key = if cipher.key_bytes() == 16 {
            "0123456789abcdef"
        } else {
            KEY
        };
        Keys::parse(key, &[], cipher).unwrap()
    }

    #[test]
    fn keys_are_checked_and_not_shown() {
        assert!(Keys::parse("short", &[], Cipher::default()).is_err());
        assert!(Keys::parse("base64:%", &[], Cipher::default()).is_err());
        assert!(Keys::parse(KEY, &["short"], Cipher::default()).is_err());
        assert!(Cipher::parse("aes-256-gcm").is_ok());
        assert!(Cipher::parse("rot13").is_err());
        let shown = format!("{:?}", keys(Cipher::Aes128Cbc));
        assert_eq!(shown, "Keys { cipher: Aes128Cbc, previous: 0, .. }");
    }

    #[test]
    fn previous_keys_still_open() {
        for (cipher, old) in [
            (Cipher::Aes128Cbc, "fedcba9876543210"),
            (Cipher::Aes128Gcm, "fedcba9876543210"),
        ] {
            let text = Keys::parse(old, &[], cipher)
                .unwrap()
                .encrypt_string(b"x", [7; 16])
                .unwrap();
            assert!(keys(cipher).decrypt_string(&text).is_err());
            let both = Keys::parse("0123456789abcdef", &[old], cipher).unwrap();
            assert_eq!(both.decrypt_string(&text).unwrap(), b"x");
        }
    }

    #[test]
    fn a_changed_text_is_refused() {
        for cipher in [Cipher::Aes256Cbc, Cipher::Aes256Gcm] {
            let text = keys(cipher).encrypt_string(b"secret", [1; 16]).unwrap();
            let json = String::from_utf8(BASE64.decode(&text).unwrap()).unwrap();
            let mut envelope: Envelope = serde_json::from_str(&json).unwrap();
            let mut value = BASE64.decode(&envelope.value).unwrap();
            value.iter_mut().for_each(|byte| *byte ^= 1);
            envelope.value = BASE64.encode(value);
            let changed = BASE64.encode(serde_json::to_string(&envelope).unwrap());
            assert!(keys(cipher).decrypt_string(&changed).is_err());
            assert!(keys(cipher).decrypt_string("garbage").is_err());
        }
    }

    proptest! {
        #[test]
        fn comes_back(plain in prop::collection::vec(any::<u8>(), 0..80), random in any::<[u8; 16]>()) {
            for cipher in [Cipher::Aes128Cbc, Cipher::Aes256Cbc, Cipher::Aes128Gcm, Cipher::Aes256Gcm] {
                let text = keys(cipher).encrypt_string(&plain, random).unwrap();
                prop_assert!(is_encrypted(&text));
                prop_assert_eq!(&keys(cipher).decrypt_string(&text).unwrap(), &plain);
            }
        }
    }
}
