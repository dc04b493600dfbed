//! The bytes of a job.
//!
//! A payload is written once, at push, and then only read: by every attempt, by the dead letters, by
//! whoever gets a refused job back. Small ones live inside the job record, so that pushing a typical job
//! touches no allocator; larger ones are one shared allocation of exactly their size.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::num::NonZeroU8;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

/// The bytes of a job's payload: cheap to clone, never changed.
///
/// Dereferences to `[u8]`. Payloads made by `push` hold JSON; payloads made by
/// [`NewJob::raw`](crate::NewJob::raw) hold whatever the caller gave.
///
/// ```
/// use queue_core::Payload;
///
/// let payload = Payload::from(&b"[1,2,3]"[..]);
/// assert_eq!(payload.len(), 7);
/// assert_eq!(&payload[..], b"[1,2,3]");
/// ```
pub struct Payload(Repr);

/// 54 bytes keep `Repr` at 56, and with it a job record at 88: a typical JSON object of one or two short
/// fields fits, the record stays within two cache lines.
pub(crate) const INLINE: usize = 54;

#[derive(Clone)]
enum Repr {
    Inline(Inline),
    Elsewhere(Elsewhere),
}

/// Aligned, so that it is copied in few and equal pieces: what was written in other pieces just before has to reach the
/// cache first, which was a tenth of what an empty job took.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Inline {
    bytes: [u8; INLINE],
    /// One more than there are.
    len: NonZeroU8,
}

#[derive(Clone)]
enum Elsewhere {
    Shared(Arc<[u8]>),
    /// In the journal only. No handler and no caller ever sees one.
    Absent {
        len: usize,
    },
}

impl Payload {
    /// Encodes a value as JSON.
    ///
    /// # Errors
    ///
    /// What the value's `Serialize` implementation reports; for example a map whose keys are not strings.
    pub(crate) fn json<T>(value: &T) -> Result<Self, serde_json::Error>
    where
        T: Serialize + ?Sized,
    {
        let mut encoder = Encoder { bytes: [0; INLINE], len: 0, scratch: None };
        let answer = serde_json::to_writer(&mut encoder, value);
        let payload = match encoder.scratch {
            None => Self(Repr::Inline(Inline::new(encoder.bytes, encoder.len))),
            Some(scratch) => Self::from_scratch(scratch),
        };
        answer.map(|()| payload)
    }

    /// Takes it. What is left is not to be read.
    pub(crate) fn take(&mut self) -> Self {
        match &self.0 {
            Repr::Inline(inline) => Self(Repr::Inline(*inline)),
            Repr::Elsewhere(_) => std::mem::replace(self, Self::empty()),
        }
    }

    /// Takes its place over from another one, of which what is left is not to be read.
    pub(crate) fn take_from(&mut self, source: &mut Self) {
        match (&mut self.0, &source.0) {
            (Repr::Inline(inline), Repr::Inline(source)) => *inline = *source,
            _ => *self = source.take(),
        }
    }

    /// Takes what must be freed, and leaves an empty payload in its place; one without stays.
    pub(crate) fn take_shared(&mut self) -> Option<Arc<[u8]>> {
        let Repr::Elsewhere(Elsewhere::Shared(_)) = &self.0 else { return None };
        match std::mem::replace(&mut self.0, Self::empty().0) {
            Repr::Elsewhere(Elsewhere::Shared(bytes)) => Some(bytes),
            Repr::Inline(_) | Repr::Elsewhere(Elsewhere::Absent { .. }) => None,
        }
    }

    // Out of the way of what fits inline: 5 % of a push.
    #[cold]
    fn from_scratch(scratch: Vec<u8>) -> Self {
        let payload = Self::shared(&scratch);
        if scratch.capacity() <= SCRATCH_KEPT {
            // Not if the thread ends.
            let _ = SCRATCH.try_with(|kept| kept.set(scratch));
        }
        payload
    }

    fn shared(bytes: &[u8]) -> Self {
        Self(Repr::Elsewhere(Elsewhere::Shared(bytes.into())))
    }

    /// In place of one that is left in the journal.
    pub(crate) fn absent(len: usize) -> Self {
        Self(Repr::Elsewhere(Elsewhere::Absent { len }))
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.0, Repr::Elsewhere(Elsewhere::Absent { .. }))
    }

    /// How many bytes of memory it has to itself.
    pub(crate) fn memory(&self) -> usize {
        match &self.0 {
            Repr::Elsewhere(Elsewhere::Shared(bytes)) => bytes.len(),
            Repr::Inline(_) | Repr::Elsewhere(Elsewhere::Absent { .. }) => 0,
        }
    }

    /// How many bytes it has, wherever they are.
    pub(crate) fn size(&self) -> usize {
        match &self.0 {
            Repr::Inline(inline) => inline.len(),
            Repr::Elsewhere(Elsewhere::Shared(bytes)) => bytes.len(),
            Repr::Elsewhere(Elsewhere::Absent { len }) => *len,
        }
    }

    pub(crate) fn empty() -> Self {
        Self(Repr::Inline(Inline::new([0; INLINE], 0)))
    }
}

impl Inline {
    #[expect(clippy::cast_possible_truncation, reason = "there are 54 at most")]
    fn new(bytes: [u8; INLINE], len: usize) -> Self {
        Self { bytes, len: NonZeroU8::MIN.saturating_add(len.min(INLINE) as u8) }
    }

    fn len(&self) -> usize {
        usize::from(self.len.get() - 1)
    }
}

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer that outgrew this is freed instead of kept: one huge payload must not pin memory on a thread.
const SCRATCH_KEPT: usize = 64 * 1024;

/// Writes into what becomes the payload, and what does not fit there into the thread's encode buffer. That is taken out of
/// its cell meanwhile, so a `Serialize` implementation that pushes a job of its own simply works with a fresh one.
struct Encoder {
    bytes: [u8; INLINE],
    len: usize,
    /// All of it, once it has outgrown that.
    scratch: Option<Vec<u8>>,
}

impl Encoder {
    #[cold]
    fn outgrow(&mut self, more: &[u8]) {
        let scratch = self.scratch.get_or_insert_with(|| {
            let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
            scratch.clear();
            scratch.extend_from_slice(&self.bytes[..self.len]);
            // Nothing fits in there any more.
            self.len = INLINE + 1;
            scratch
        });
        scratch.extend_from_slice(more);
    }
}

impl io::Write for Encoder {
    #[inline]
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        self.write_all(more)?;
        Ok(more.len())
    }

    #[inline]
    fn write_all(&mut self, more: &[u8]) -> io::Result<()> {
        match self.bytes.get_mut(self.len..self.len + more.len()) {
            Some(room) => {
                room.copy_from_slice(more);
                self.len += more.len();
            }
            None => self.outgrow(more),
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Clone for Payload {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }

    fn clone_from(&mut self, source: &Self) {
        match (&mut self.0, &source.0) {
            (Repr::Inline(inline), Repr::Inline(source)) => *inline = *source,
            (repr, source) => *repr = source.clone(),
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(inline) => &inline.bytes[..inline.len()],
            Repr::Elsewhere(Elsewhere::Shared(bytes)) => bytes,
            Repr::Elsewhere(Elsewhere::Absent { .. }) => &[],
        }
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<&[u8]> for Payload {
    fn from(source: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match bytes.get_mut(..source.len()) {
            Some(room) => {
                room.copy_from_slice(source);
                Self(Repr::Inline(Inline::new(bytes, source.len())))
            }
            None => Self::shared(source),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(&bytes[..])
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Payload {}

/// Shows text as text and the rest by length: payloads may be large, and may hold secrets in a `Debug` log
/// only as far as their owner chose to put them there.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        match std::str::from_utf8(self) {
            Ok(text) if text.len() <= SHOWN => write!(f, "Payload({text:?})"),
            _ => write!(f, "Payload({} bytes)", self.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_payloads_are_inline_and_large_ones_shared() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 255, 256, 100_000] {
            let bytes: Vec<u8> = (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let payload = Payload::from(&bytes[..]);
            assert_eq!(&payload[..], &bytes[..]);
            assert_eq!(matches!(payload.0, Repr::Inline(_)), len <= INLINE, "{len} bytes");
        }
        assert_eq!(size_of::<Payload>(), 56);
    }

    #[test]
    fn json_of_every_length_is_what_serde_writes() {
        for len in 0..200 {
            let value = ("x".repeat(len), [len; 5], "\n");
            let payload = Payload::json(&value).unwrap();
            assert_eq!(&payload[..], serde_json::to_vec(&value).unwrap());
            assert_eq!(matches!(payload.0, Repr::Inline(_)), payload.len() <= INLINE);
        }
    }

    #[test]
    fn a_nested_encode_does_not_disturb_the_outer_one() {
        struct Nested;
        impl Serialize for Nested {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let inner = Payload::json("inner").map_err(serde::ser::Error::custom)?;
                serializer.serialize_u64(inner.len() as u64)
            }
        }
        let payload = Payload::json(&("before", Nested, "after")).unwrap();
        assert_eq!(&payload[..], br#"["before",7,"after"]"#);
    }

    /// What lives in a thread local may push when its thread ends, and the thread's buffer may be gone.
    #[test]
    fn a_thread_that_ends_encodes() {
        struct Pusher;
        impl Pusher {
            fn push() {
                assert_eq!(Payload::json(&[0; 100][..]).expect("it is plain data").len(), 201);
            }
        }
        impl Drop for Pusher {
            fn drop(&mut self) {
                Self::push();
            }
        }
        thread_local! {
            static PUSHER: Pusher = const { Pusher };
        }
        // The other way round it would be destroyed first.
        let pushed = std::thread::spawn(|| PUSHER.with(|_| Pusher::push()));
        pushed.join().expect("the thread ends well");
    }

    #[test]
    fn debug_never_prints_a_large_payload() {
        assert_eq!(format!("{:?}", Payload::from("[1]")), r#"Payload("[1]")"#);
        assert_eq!(format!("{:?}", Payload::from(vec![b'x'; 65])), "Payload(65 bytes)");
        assert_eq!(format!("{:?}", Payload::from(&[0xff][..])), "Payload(1 bytes)");
    }
}
