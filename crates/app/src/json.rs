//! What a JSON body must be beyond what the parser asks: one meaning for every reader (RFC 7493). Of two members with one name
//! each reader takes another, and half of a surrogate pair is no text; both would be kept with the body for ever.

use std::{borrow::Cow, collections::HashSet};

use crate::ingest::BodyError;

/// Deeper than anything a phone sends, and less deep than what the parser's own stack bears.
const DEPTH_MAX: usize = 100;

/// Up to so many names of one object are compared one by one.
const FEW: usize = 16;

/// The longest name that a pointer repeats in full.
const NAME_SHOWN_MAX: usize = 64;

/// Checks that `body` is Unicode text, without a byte order mark, no deeper than `DEPTH_MAX`, and that no object in it has two
/// members of one name. One pass and no tree; what is no JSON at all is left to the parser to tell.
pub fn strict(body: &[u8]) -> Result<(), BodyError> {
    let text = std::str::from_utf8(body).map_err(|_hidden| BodyError::new("", "the body is not UTF-8"))?;
    if text.starts_with('\u{feff}') {
        return Err(BodyError::new("", "the body begins with a byte order mark"));
    }
    Scanner { text, at: 0, open: Vec::new(), names: Vec::new() }.run()
}

/// An object or an array that is not closed.
enum Open<'a> {
    Object {
        /// Where its names begin among those of all open objects.
        names: usize,
        /// Its names, where they are many.
        many: Option<HashSet<Cow<'a, str>>>,
        at_name: bool,
    },
    Array {
        index: usize,
    },
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Open<'a>>,
    names: Vec<Cow<'a, str>>,
}

impl Scanner<'_> {
    fn run(mut self) -> Result<(), BodyError> {
        let text = self.text;
        let bytes = text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => {
                    let begin = self.at;
                    let Some(has_escapes) = self.skip_string()? else { return Ok(()) };
                    if matches!(self.open.last(), Some(Open::Object { at_name: true, .. })) {
                        let raw = &text[begin..self.at - 1];
                        let name = if has_escapes { unescaped(raw) } else { Some(Cow::Borrowed(raw)) };
                        let Some(name) = name else { return Ok(()) };
                        self.name(name)?;
                    }
                }
                b'{' => self.enter(Open::Object { names: self.names.len(), many: None, at_name: true })?,
                b'[' => self.enter(Open::Array { index: 0 })?,
                b'}' | b']' => match self.open.pop() {
                    Some(Open::Object { names, .. }) => self.names.truncate(names),
                    Some(Open::Array { .. }) => {}
                    None => return Ok(()),
                },
                b',' => match self.open.last_mut() {
                    Some(Open::Object { at_name, .. }) => *at_name = true,
                    Some(Open::Array { index }) => *index += 1,
                    None => return Ok(()),
                },
                _ => {}
            }
        }
        Ok(())
    }
}

impl<'a> Scanner<'a> {
    fn enter(&mut self, open: Open<'a>) -> Result<(), BodyError> {
        if self.open.len() == DEPTH_MAX {
            return Err(BodyError::new("", format!("the body is nested more than {DEPTH_MAX} deep")));
        }
        self.open.push(open);
        Ok(())
    }

    /// Goes behind the end of a string, and tells whether it holds escapes; `None` where it has no end.
    fn skip_string(&mut self) -> Result<Option<bool>, BodyError> {
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        while let Some(&byte) = bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => return Ok(Some(has_escapes)),
                b'\\' => {
                    has_escapes = true;
                    self.at += 1;
                    if bytes.get(self.at - 1) == Some(&b'u') {
                        self.surrogates()?;
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Checks the escape whose `\u` has been read, with its other half.
    fn surrogates(&mut self) -> Result<(), BodyError> {
        let bytes = self.text.as_bytes();
        let unit = |at: usize| {
            let digits = bytes.get(at..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u16::from_str_radix(digits, 16).ok())
        };
        let is_pair = match unit(self.at) {
            Some(0xD800..=0xDBFF) => {
                let low = bytes.get(self.at + 4..self.at + 6) == Some(b"\\u");
                low && matches!(unit(self.at + 6), Some(0xDC00..=0xDFFF))
            }
            Some(0xDC00..=0xDFFF) => false,
            _ => return Ok(()),
        };
        if !is_pair {
            return Err(BodyError::new(&self.pointer(), "a text holds half of a surrogate pair"));
        }
        self.at += 10;
        Ok(())
    }

    /// Takes the name of a member, which must be new to its object.
    fn name(&mut self, name: Cow<'a, str>) -> Result<(), BodyError> {
        let Some(Open::Object { names: begin, many, at_name }) = self.open.last_mut() else { return Ok(()) };
        *at_name = false;
        let known = &self.names[*begin..];
        let is_new = match many {
            Some(many) => many.insert(name.clone()),
            None if known.len() < FEW => !known.contains(&name),
            None => {
                let mut all: HashSet<Cow<'a, str>> = known.iter().cloned().collect();
                let is_new = all.insert(name.clone());
                *many = Some(all);
                is_new
            }
        };
        self.names.push(name);
        if is_new { Ok(()) } else { Err(BodyError::new(&self.pointer(), "the object has this member twice")) }
    }

    /// The place that has been reached.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for (depth, open) in self.open.iter().enumerate() {
            let part = match open {
                Open::Array { index } => index.to_string(),
                Open::Object { names, .. } => {
                    let next = self.open[depth + 1..].iter().find_map(|inner| match inner {
                        Open::Object { names, .. } => Some(*names),
                        Open::Array { .. } => None,
                    });
                    let end = next.unwrap_or(self.names.len());
                    let name = self.names[*names..end].last().map_or("", |name| &**name);
                    let shown: String = name.chars().take(NAME_SHOWN_MAX).collect();
                    shown.replace('~', "~0").replace('/', "~1")
                }
            };
            pointer.push('/');
            pointer.push_str(&part);
        }
        pointer
    }
}

fn unescaped(raw: &str) -> Option<Cow<'_, str>> {
    serde_json::from_str::<String>(&format!("\"{raw}\"")).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn fault(body: &[u8]) -> Option<(String, String)> {
        strict(body).err().map(|error| (error.pointer, error.message))
    }

    fn place(body: &str) -> Option<String> {
        fault(body.as_bytes()).map(|(pointer, _)| pointer)
    }

    #[test]
    fn a_member_that_is_there_twice_is_found_where_it_is() {
        for (body, pointer) in [
            (r#"{"a":1,"a":2}"#, "/a"),
            (r#"{"a":1,"\u0061":2}"#, "/a"),
            (r#"{"x":[{"a":1},{"b":{"c":1,"c":1}}]}"#, "/x/1/b/c"),
            (r#"[[],{"a":{},"b":[{"a":1}],"a":1}]"#, "/1/a"),
            (r#"{"a/b~":1,"a/b~":1}"#, "/a~1b~0"),
            (r#"{"":1,"":2}"#, "/"),
        ] {
            assert_eq!(place(body).as_deref(), Some(pointer), "{body}");
        }
        for body in [
            r#"{"a":"a","b":{"a":1},"c":[{"a":1},{"a":2}],"A":1}"#,
            r#"{"a":",\"a\":1","b":"{\"b\":"}"#,
            r#"{"a":["a","a",{"a":["a"]}],"b":"a"}"#,
            "[1,2,3]",
            "\"text\"",
            "",
        ] {
            assert_eq!(place(body), None, "{body}");
        }
    }

    #[test]
    fn many_members_are_compared_as_quickly_as_few() {
        let mut body = "{".to_owned();
        for index in 0..400_000 {
            write!(body, "\"n{index}\":0,").unwrap();
        }
        assert_eq!(place(&format!("{body}\"last\":0}}")), None);
        assert_eq!(place(&format!("{body}\"n7\":0}}")).as_deref(), Some("/n7"));
        assert_eq!(place(&format!("{body}\"n399999\":0}}")).as_deref(), Some("/n399999"));
    }

    #[test]
    fn text_must_be_text() {
        assert_eq!(place(r#"{"a":"\ud83d\ude00","b":"\\ud800"}"#), None);
        for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\uD83Dx", r"\ud83d\n", r"\udBFF\u0041"] {
            assert_eq!(place(&format!(r#"{{"a":["{half}"]}}"#)).as_deref(), Some("/a/0"), "{half}");
            assert!(place(&format!(r#"{{"{half}":1}}"#)).is_some(), "{half}");
        }
        assert_eq!(fault(b"{\"a\":\"\xff\"}").unwrap().1, "the body is not UTF-8");
        assert_eq!(fault(b"{\"a\":\"\xed\xa0\x80\"}").unwrap().1, "the body is not UTF-8");
        assert_eq!(fault(b"\xef\xbb\xbf{}").unwrap().1, "the body begins with a byte order mark");
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(place(&nested(DEPTH_MAX)), None);
        assert_eq!(place(&nested(DEPTH_MAX + 1)).as_deref(), Some(""));
        assert!(fault(&vec![b'['; 5_000_000]).is_some());
        let objects = format!("{}1{}", r#"{"a":"#.repeat(101), "}".repeat(101));
        assert!(place(&objects).is_some());
        let wide = format!("[0{}]", format!(",{}", nested(50)).repeat(1000));
        assert_eq!(place(&wide), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".{0,3}", inner, 0..20).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_serializer_writes_passes(value in value()) {
            prop_assert_eq!(fault(value.to_string().as_bytes()), None);
            prop_assert_eq!(fault(serde_json::to_string_pretty(&value).unwrap().as_bytes()), None);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(&b"{}[],:\"\\ud8caf0 \xc3\xa4"[..]), 0..60)) {
            let _outcome = strict(&bytes);
        }
    }
}
