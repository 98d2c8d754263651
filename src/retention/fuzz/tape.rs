//! Bytes as a source of choices.

/// Bytes as a source of choices.
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// A tape of these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    /// A number of so many bytes.
    pub fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |number, _| (number << 8) | u64::from(self.byte()))
    }

    /// A number below another one, at most 255.
    pub fn below(&mut self, end: u8) -> u8 {
        self.byte() % end
    }

    /// Yes, once in so many.
    pub fn once_in(&mut self, times: u8) -> bool {
        self.byte() % times == times - 1
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = if choices.len() > 256 {
            self.number(2)
        } else {
            self.number(1)
        };
        choices[usize::try_from(at).unwrap_or(0) % choices.len()]
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}
