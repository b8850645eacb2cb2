//! The objects of a JSON file, one after the other, however they are laid out: in an array, in an array
//! that a field of an object holds, one behind the other.
//!
//! An object that is no JSON costs itself: where it goes over several lines, reading goes on at the next
//! line that begins as the objects before it do.

use std::io::BufRead;

use super::input::Input;
use super::lines::{Lines, newlines};
use super::row::SourceError;

/// A text that should be a JSON object.
pub(super) struct Object {
    /// The line that it begins in.
    pub(super) line: u64,
    /// Or why it cannot be read.
    pub(super) text: Result<String, String>,
    /// Bytes that are not UTF-8 were replaced.
    pub(super) lossy: bool,
}

/// Splits a file into its objects, without looking into them.
pub(super) struct Objects {
    path: std::path::PathBuf,
    reader: Box<dyn BufRead>,
    /// Bytes that are looked at again.
    again: Vec<u8>,
    line: u64,
    /// How far the objects are indented that begin a line; `None`: not known yet.
    indent: Option<usize>,
    /// What stands before the next byte in its line is white space, this much.
    before: Option<usize>,
    /// They are in an array, which ends the file.
    in_array: bool,
    ended: bool,
}

impl Objects {
    /// Lines of an object that begin as objects do: each is read again where the object is broken.
    const MOST_STARTS: usize = 64;

    /// `array`: the bytes before the `[` of the array that the objects are in, and that.
    pub(super) fn of(input: Input, array: Option<usize>) -> Result<Self, SourceError> {
        let mut objects = Self {
            path: input.path,
            reader: input.reader,
            again: Vec::new(),
            line: 1,
            indent: None,
            before: Some(0),
            in_array: array.is_some(),
            ended: false,
        };
        for _ in 0..array.unwrap_or_default() {
            objects.byte()?;
        }
        Ok(objects)
    }

    fn byte(&mut self) -> Result<Option<u8>, SourceError> {
        let byte = if let Some(byte) = self.again.pop() {
            Some(byte)
        } else {
            let read = self.reader.fill_buf().map(|bytes| bytes.first().copied());
            let byte = read.map_err(|source| SourceError::Io {
                path: self.path.clone(),
                source,
            })?;
            self.reader.consume(usize::from(byte.is_some()));
            byte
        };
        match byte {
            Some(b'\n') => {
                self.line += 1;
                self.before = Some(0);
            }
            Some(b' ' | b'\t') => self.before = self.before.map(|count| count + 1),
            _ => self.before = None,
        }
        Ok(byte)
    }

    /// The next object; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Object>, SourceError> {
        while !self.ended {
            let before = self.before;
            match self.byte()? {
                Some(b'{') => return self.object(before).map(Some),
                Some(b']') if self.in_array => self.ended = true,
                Some(byte) if byte.is_ascii_whitespace() || byte == b',' => {}
                Some(byte) => return self.stray(byte).map(Some),
                None => {
                    self.ended = true;
                    if self.in_array {
                        return Ok(Some(Object {
                            line: self.line,
                            text: Err("the file ends before its list of products does".to_owned()),
                            lossy: false,
                        }));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Something else than an object, up to the next one.
    fn stray(&mut self, first: u8) -> Result<Object, SourceError> {
        let (line, mut start, mut length) = (self.line, vec![first], 1_u64);
        while let Some(byte) = self.byte()? {
            if matches!(byte, b',' | b'{' | b'\n') || (byte == b']' && self.in_array) {
                self.unread(byte);
                break;
            }
            length += 1;
            if start.len() < 40 {
                start.push(byte);
            }
        }
        let more = if length > start.len() as u64 {
            ".."
        } else {
            ""
        };
        let start = String::from_utf8_lossy(&start).into_owned();
        Ok(Object {
            line,
            text: Err(format!("{start}{more} is not a JSON object")),
            lossy: false,
        })
    }

    fn unread(&mut self, byte: u8) {
        self.again.push(byte);
        if byte == b'\n' {
            self.line -= 1;
        }
    }

    /// The object whose first brace was read.
    fn object(&mut self, before: Option<usize>) -> Result<Object, SourceError> {
        let line = self.line;
        if self.indent.is_none() {
            self.indent = before;
        }
        let mut bytes = vec![b'{'];
        let (mut depth, mut in_string, mut escaped) = (1_u32, false, false);
        // Lines in it that begin as objects do.
        let mut starts = 0;
        while depth > 0 {
            if starts > Self::MOST_STARTS {
                let reason = "a bracket or a quote in it is not closed".to_owned();
                return Ok(self.broken(line, &bytes, reason));
            }
            if bytes.len() as u64 > Lines::LONGEST {
                let reason = format!(
                    "the product is longer than {} bytes, or a bracket or a quote in it is not closed",
                    Lines::LONGEST
                );
                return Ok(self.broken(line, &bytes, reason));
            }
            let before = self.before;
            let Some(byte) = self.byte()? else {
                let reason = "the file ends in the middle of a product".to_owned();
                return Ok(self.broken(line, &bytes, reason));
            };
            bytes.push(byte);
            starts += usize::from(byte == b'{' && before.is_some() && before == self.indent);
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        let (text, lossy) = match String::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        // Brackets that match by chance.
        if text.contains('\n')
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text)
        {
            return Ok(self.broken(line, text.as_bytes(), format!("no JSON: {error}")));
        }
        Ok(Object {
            line,
            text: Ok(text),
            lossy,
        })
    }

    /// Goes back to the first line of a broken object that begins as an object does.
    fn broken(&mut self, line: u64, bytes: &[u8], reason: String) -> Object {
        let start = |rest: &[u8]| {
            let indent = rest
                .iter()
                .take_while(|b| matches!(b, b' ' | b'\t'))
                .count();
            rest.get(indent) == Some(&b'{') && Some(indent) == self.indent
        };
        let mut at = 0;
        while let Some(end) = bytes[at..].iter().position(|byte| *byte == b'\n') {
            at += end + 1;
            if start(&bytes[at..]) {
                self.line -= newlines(&bytes[at..]);
                self.before = Some(0);
                self.again.extend(bytes[at..].iter().rev());
                break;
            }
        }
        Object {
            line,
            text: Err(reason),
            lossy: false,
        }
    }
}
