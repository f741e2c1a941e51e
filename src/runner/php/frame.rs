//! What the worker and a PHP process say to each other: frames with a mark, a kind and a length.
//!
//! Whatever else arrives on the socket is an error, never a wait for bytes that do not come or memory for
//! bytes that nobody wants.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Deserialize;

use crate::wire::Exception;

/// What every frame begins with.
const MARK: &[u8; 3] = b"WKR";
/// Mark, kind and length.
const HEAD: usize = 8;
/// The most bytes of a frame from PHP: the texts of two exceptions, each of 1 MiB at most, escaped.
const MOST: usize = 32 << 20;

/// Why what arrived is no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it wrote something else than frames to its socket: {0}")]
pub struct NoFrame(String);

/// An exception as PHP tells it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Told {
    class: String,
    message: String,
    text: String,
}

impl From<Told> for Exception {
    /// Names of anonymous classes hold a NUL, which PostgreSQL takes in no text.
    fn from(told: Told) -> Self {
        let text = |text: String| text.replace('\0', "\\0");
        Self::recorded(text(told.class), text(told.message), text(told.text))
    }
}

/// What PHP says.
#[derive(Debug)]
pub enum Said {
    /// The application is up.
    Hello(Hello),
    /// It cannot boot, for this reason.
    Broken(String),
    /// A run has ended.
    Done(Done),
    /// A job has failed and is being told so.
    GivingUp {
        /// The run.
        run: u64,
        /// Why it failed.
        exception: Exception,
    },
    /// The process ends in the middle of a run.
    Ending {
        /// The run.
        run: u64,
        /// PHP's own words on it, if it was an error of PHP.
        fatal: Option<String>,
    },
}

/// What a process says once it is ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// PHP's version.
    pub php: String,
    /// The framework's version.
    pub laravel: String,
    /// Whether ext-pcntl is there.
    pub pcntl: bool,
    /// How long the application took to boot, in milliseconds.
    pub boot_ms: u64,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Done {
    /// The run.
    pub run: u64,
    /// What becomes of the job.
    pub outcome: Outcome,
    /// Seconds until a released job is due.
    #[serde(default)]
    pub delay: u64,
    /// Why a failed job failed.
    pub reason: Option<Told>,
    /// What was thrown.
    pub exception: Option<Told>,
    /// What the job had changed in the process and was put back.
    #[serde(default)]
    pub changed: Vec<String>,
    /// Whether something could not be put back, so that the process is to run no other job.
    #[serde(default)]
    pub spoilt: bool,
}

/// What becomes of a job that PHP ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is done.
    Deleted,
    /// It gave itself back, or the framework did after an exception.
    Released,
    /// It has failed for good and was told so.
    Failed,
    /// Nobody said anything: it stays reserved.
    Kept,
}

/// A frame to PHP: `kind`, members as JSON, and the payload's bytes as they are.
#[must_use]
pub fn encode(kind: u8, members: &[u8], payload: &[u8]) -> Bytes {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let mut frame = BytesMut::with_capacity(HEAD + 4 + members.len() + payload.len());
    frame.put_slice(MARK);
    frame.put_u8(kind);
    frame.put_u32(length(4 + members.len() + payload.len()));
    frame.put_u32(length(members.len()));
    frame.put_slice(members);
    frame.put_slice(payload);
    frame.freeze()
}

/// Takes one frame off `buffer`; `None` while it is not whole.
///
/// # Errors
/// When what is there is no frame.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Said>, NoFrame> {
    let known = buffer.len().min(MARK.len());
    if buffer.get(..known) != MARK.get(..known) {
        return Err(NoFrame("it does not begin with a frame's mark".to_owned()));
    }
    if buffer.len() < HEAD {
        return Ok(None);
    }
    let mut head = buffer.get(MARK.len()..HEAD).unwrap_or_default();
    let (kind, length) = (head.get_u8(), head.get_u32());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MOST {
        return Err(NoFrame(format!("a frame of {length} bytes")));
    }
    if buffer.len() < HEAD + length {
        return Ok(None);
    }
    buffer.advance(HEAD);
    let body = buffer.split_to(length);
    read(kind, &body).map(Some)
}

fn read(kind: u8, body: &[u8]) -> Result<Said, NoFrame> {
    let wrong = |error: serde_json::Error| {
        NoFrame(format!(
            "a frame {:?} that cannot be read (at {}:{})",
            char::from(kind),
            error.line(),
            error.column()
        ))
    };
    match kind {
        b'H' => serde_json::from_slice(body).map(Said::Hello).map_err(wrong),
        b'B' => {
            let broken: Broken = serde_json::from_slice(body).map_err(wrong)?;
            Ok(Said::Broken(broken.words()))
        }
        b'D' => serde_json::from_slice(body).map(Said::Done).map_err(wrong),
        b'G' => {
            let GivingUp { run, exception } = serde_json::from_slice(body).map_err(wrong)?;
            Ok(Said::GivingUp {
                run,
                exception: exception.into(),
            })
        }
        b'X' => {
            let Ending { run, fatal } = serde_json::from_slice(body).map_err(wrong)?;
            Ok(Said::Ending { run, fatal })
        }
        other => Err(NoFrame(format!("a frame of the kind {:?}", char::from(other)))),
    }
}

#[derive(Deserialize)]
struct Broken {
    exception: Option<Told>,
    fatal: Option<String>,
}

impl Broken {
    fn words(self) -> String {
        let fatal = self.fatal.unwrap_or_else(|| "PHP does not say why".to_owned());
        self.exception.map_or(fatal, |told| {
            // The first line of PHP's own text says class, message, file and line.
            let first = told.text.lines().next().unwrap_or_default();
            first.to_owned()
        })
    }
}

#[derive(Deserialize)]
struct GivingUp {
    run: u64,
    exception: Told,
}

#[derive(Deserialize)]
struct Ending {
    run: u64,
    fatal: Option<String>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_php(kind: u8, body: &str) -> BytesMut {
        let mut frame = BytesMut::from(&MARK[..]);
        frame.put_u8(kind);
        frame.put_u32(u32::try_from(body.len()).unwrap());
        frame.put_slice(body.as_bytes());
        frame
    }

    /// What is heard when bytes come in pieces of this size: frames, and how it ends.
    fn told(bytes: &[u8], size: usize) -> Vec<String> {
        let (mut told, mut buffer) = (Vec::new(), BytesMut::new());
        for piece in bytes.chunks(size) {
            buffer.extend_from_slice(piece);
            loop {
                match decode(&mut buffer) {
                    Ok(Some(said)) => told.push(format!("{said:?}")),
                    Ok(None) => break,
                    Err(refused) => {
                        told.push(refused.to_string());
                        return told;
                    }
                }
            }
        }
        told.push(format!("{} bytes left", buffer.len()));
        told
    }

    #[test]
    fn frames_may_arrive_in_pieces() {
        let whole = from_php(b'D', r#"{"run":7,"outcome":"released","delay":30}"#);
        for cut in 0..whole.len() {
            let mut piece = BytesMut::from(whole.get(..cut).unwrap());
            assert!(decode(&mut piece).unwrap().is_none(), "{cut}");
            assert_eq!(piece.len(), cut);
        }
        let mut two = whole.clone();
        two.extend_from_slice(&whole);
        for _ in 0..2 {
            let Some(Said::Done(done)) = decode(&mut two).unwrap() else {
                panic!("a whole frame")
            };
            assert_eq!((done.run, done.outcome, done.delay), (7, Outcome::Released, 30));
        }
        assert!(decode(&mut two).unwrap().is_none());
    }

    #[test]
    fn garbage_is_refused_at_its_first_byte() {
        for bad in ["x", "WKx", "hello world", "WKRZ\0\0\0\0", "WKRD\0\0\0\x02[]"] {
            assert!(decode(&mut BytesMut::from(bad)).is_err(), "{bad}");
        }
        let mut huge = BytesMut::from(&b"WKRD"[..]);
        huge.put_u32(u32::MAX);
        assert!(decode(&mut huge).is_err());
    }

    #[test]
    fn a_frame_to_php_carries_the_payload_as_it_is() {
        let frame = encode(b'R', b"{}", b"\0\xff\n");
        assert_eq!(&frame[..], b"WKRR\0\0\0\x09\0\0\0\x02{}\0\xff\n");
    }

    proptest! {
        #[test]
        fn survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            drop(decode(&mut BytesMut::from(&bytes[..])));
        }

        #[test]
        fn pieces_make_no_difference(
            bodies in prop::collection::vec((prop::sample::select(&b"BDX"[..]), r#"\{"run":[0-9]{1,2},("outcome":"kept"|"fatal":null)\}"#), 0..4),
            tail in prop::collection::vec(any::<u8>(), 0..12),
            size in 1_usize..40,
        ) {
            let mut bytes = BytesMut::new();
            for (kind, body) in &bodies {
                bytes.unsplit(from_php(*kind, body));
            }
            bytes.extend_from_slice(&tail);
            prop_assert_eq!(told(&bytes, size), told(&bytes, bytes.len().max(1)));
        }

        #[test]
        fn survives_any_body(kind in prop::sample::select(&b"HBDGX"[..]), body in ".{0,40}") {
            drop(decode(&mut from_php(kind, &body)));
        }
    }
}
