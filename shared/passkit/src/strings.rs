//! `pass.strings`: the translations of one language (reference 3.8).
//!
//! Lines of `"key" = "text";` with `/* */` and `//` comments, in UTF-8 or UTF-16. Always written again the same way:
//! sorted, UTF-16 little-endian with a byte order mark, which Apple's documentation asks for and other builders ship.

use std::collections::BTreeMap;

/// Why a file is no `pass.strings`. Safe to show to whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StringsError {
    /// Neither UTF-8 nor UTF-16.
    #[error("is neither UTF-8 nor UTF-16; save it as UTF-16 with a byte order mark, or as UTF-8")]
    Encoding,
    /// Not `"key" = "text";`.
    #[error("line {line}: {expected} was expected; entries are written \"key\" = \"text\";")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
}

/// What a `pass.strings` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Strings {
    /// Key to text; of a key that is given twice the last text, as Apple's own reader has it.
    pub entries: BTreeMap<String, String>,
    /// Keys given more than once.
    pub repeated: Vec<String>,
}

/// Reads the file.
pub fn parse(bytes: &[u8]) -> Result<Strings, StringsError> {
    let text = decode(bytes).ok_or(StringsError::Encoding)?;
    let mut scanner = Scanner { rest: text.chars().peekable(), line: 1 };
    let mut strings = Strings::default();
    loop {
        scanner.skip_blank()?;
        if scanner.rest.peek().is_none() {
            return Ok(strings);
        }
        let key = scanner.token("a key")?;
        scanner.expect('=', "\"=\"")?;
        scanner.skip_blank()?;
        let value = scanner.token("a text in quotes")?;
        scanner.expect(';', "\";\"")?;
        if strings.entries.insert(key.clone(), value).is_some() {
            strings.repeated.push(key);
        }
    }
}

/// Writes a file: the same entries always give the same bytes.
pub fn encode<K: AsRef<str>, V: AsRef<str>>(entries: impl IntoIterator<Item = (K, V)>) -> Vec<u8> {
    let mut text = String::from("\u{feff}");
    for (key, value) in entries {
        push_quoted(&mut text, key.as_ref());
        text.push_str(" = ");
        push_quoted(&mut text, value.as_ref());
        text.push_str(";\n");
    }
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn push_quoted(text: &mut String, part: &str) {
    text.push('"');
    for character in part.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            // A property list may not hold the other control characters, and the reader stops at a NUL.
            '\t' => text.push('\t'),
            control if control.is_control() => {}
            other => text.push(other),
        }
    }
    text.push('"');
}

fn decode(bytes: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], read: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| read(*pair))).collect::<Result<String, _>>().ok()?;
        rest.is_empty().then_some(text)
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => String::from_utf8(rest.to_vec()).ok(),
        // Without a mark: the first character of such a file is ASCII, so the place of its zero byte tells.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8(bytes.to_vec()).ok(),
    }
}

struct Scanner<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let character = self.rest.next();
        if character == Some('\n') {
            self.line += 1;
        }
        character
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, StringsError> {
        Err(StringsError::Syntax { line: self.line, expected })
    }

    /// Skips white space and comments.
    fn skip_blank(&mut self) -> Result<(), StringsError> {
        loop {
            match self.rest.peek() {
                Some(character) if character.is_whitespace() => {
                    self.next();
                }
                Some('/') => {
                    self.next();
                    match self.next() {
                        Some('/') => while self.next().is_some_and(|character| character != '\n') {},
                        Some('*') => {
                            let mut last = ' ';
                            loop {
                                match self.next() {
                                    Some('/') if last == '*' => break,
                                    Some(character) => last = character,
                                    None => return self.fail("the end of a comment, \"*/\","),
                                }
                            }
                        }
                        _ => return self.fail("a comment"),
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn expect(&mut self, character: char, name: &'static str) -> Result<(), StringsError> {
        self.skip_blank()?;
        if self.rest.next_if_eq(&character).is_some() { Ok(()) } else { self.fail(name) }
    }

    /// A quoted string, or a bare word as old property lists allow.
    fn token(&mut self, expected: &'static str) -> Result<String, StringsError> {
        let mut token = String::new();
        if self.rest.next_if_eq(&'"').is_none() {
            let bare = |character: &char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
            while let Some(character) = self.rest.next_if(bare) {
                token.push(character);
            }
            return if token.is_empty() { self.fail(expected) } else { Ok(token) };
        }
        loop {
            match self.next() {
                Some('"') => return Ok(token),
                Some('\\') => match self.next() {
                    Some('n') => token.push('\n'),
                    Some('r') => token.push('\r'),
                    Some('t') => token.push('\t'),
                    Some('U' | 'u') => token.push(self.hexadecimal()?),
                    Some(character) => token.push(character),
                    None => return self.fail("a closing quote"),
                },
                Some(character) => token.push(character),
                None => return self.fail("a closing quote"),
            }
        }
    }

    fn hexadecimal(&mut self) -> Result<char, StringsError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.rest.next_if(char::is_ascii_hexdigit).and_then(|digit| digit.to_digit(16)) else {
                return self.fail("four hexadecimal digits");
            };
            code = code * 16 + digit;
        }
        char::from_u32(code).map_or_else(|| self.fail("a character code that stands alone"), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str =
        "/* offers */\n\"FREE\" = \"Ein \\\"Croissant\\\"\\nfür dich\";\n// bare\nUSED = \"Benutzt \\\\ \\U00e9\";";

    fn expected() -> BTreeMap<String, String> {
        BTreeMap::from([
            ("FREE".to_owned(), "Ein \"Croissant\"\nfür dich".to_owned()),
            ("USED".to_owned(), "Benutzt \\ é".to_owned()),
        ])
    }

    #[test]
    fn utf_8_and_both_utf_16_orders_read_the_same_with_and_without_mark() {
        let little: Vec<u8> = SOURCE.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = SOURCE.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let files = [
            SOURCE.as_bytes().to_vec(),
            [b"\xEF\xBB\xBF", SOURCE.as_bytes()].concat(),
            [b"\xFF\xFE", little.as_slice()].concat(),
            [b"\xFE\xFF", big.as_slice()].concat(),
            little,
            big,
        ];
        for file in files {
            assert_eq!(parse(&file).unwrap().entries, expected());
        }
    }

    #[test]
    fn what_is_written_is_utf_16_le_with_a_mark_and_reads_back() {
        let bytes = encode(&expected());
        assert_eq!(bytes[..4], [0xFF, 0xFE, b'"', 0], "reference 3.8");
        assert_eq!(parse(&bytes).unwrap().entries, expected());
    }

    #[test]
    fn a_text_cannot_leave_its_quotes() {
        let evil = "x\"; \"HACKED\" = \"y\\";
        let read = parse(&encode([("A", evil)])).unwrap();
        assert_eq!(read.entries, BTreeMap::from([("A".to_owned(), evil.to_owned())]));
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        let error = |source: &str| parse(source.as_bytes()).unwrap_err();
        assert_eq!(error("\"A\" = \"a\";\n\"B\" \"b\";"), StringsError::Syntax { line: 2, expected: "\"=\"" });
        assert_eq!(error("\"A\" = \"a\""), StringsError::Syntax { line: 1, expected: "\";\"" });
        assert_eq!(error("\"A\" = \"a"), StringsError::Syntax { line: 1, expected: "a closing quote" });
        assert_eq!(parse(b"\"A\" = \"\xC3\";").unwrap_err(), StringsError::Encoding);
    }

    #[test]
    fn a_key_given_twice_is_told_and_the_last_text_counts() {
        let strings = parse(b"\"A\" = \"1\"; \"A\" = \"2\";").unwrap();
        assert_eq!((strings.entries["A"].as_str(), strings.repeated), ("2", vec!["A".to_owned()]));
    }
}
