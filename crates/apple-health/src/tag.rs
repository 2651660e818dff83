//! The attributes of a tag, without an allocation for any that holds no reference.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::{error::Reason, limits};

/// The attributes of a tag's content, which is `Record type="..." ...`, in their order.
pub(crate) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    /// `content` is what stands after the tag's name.
    pub(crate) fn new(content: &'a str) -> Self {
        Self { rest: content }
    }

    /// The next attribute: its name, and its value as it is written.
    pub(crate) fn next(&mut self) -> Result<Option<(&'a str, &'a str)>, Reason> {
        let rest = self.rest.trim_ascii_start();
        if rest.is_empty() {
            return Ok(None);
        }
        if rest.len() == self.rest.len() {
            return Err(Reason::Malformed("no space before an attribute"));
        }
        let equals =
            memchr(b'=', rest.as_bytes()).ok_or(Reason::Malformed("an attribute without a value"))?;
        let name = rest[..equals].trim_ascii_end();
        if !is_name(name) {
            return Err(Reason::Malformed("an attribute without a proper name"));
        }
        let quoted = rest[equals + 1..].trim_ascii_start();
        let quote = match quoted.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => return Err(Reason::Malformed("the value of an attribute without quotes")),
        };
        let length = memchr(quote, &quoted.as_bytes()[1..])
            .ok_or(Reason::Malformed("the value of an attribute without its end"))?;
        let value = &quoted[1..=length];
        if length > limits::ATTRIBUTE_BYTES_MAX {
            return Err(limits::too_long_attribute());
        }
        if memchr(b'<', value.as_bytes()).is_some() {
            return Err(Reason::Malformed("a `<` in the value of an attribute"));
        }
        self.rest = &quoted[length + 2..];
        Ok(Some((name, value)))
    }

    /// What stands after the attribute that was told last.
    pub(crate) fn rest(&self) -> &'a str {
        self.rest
    }

    /// Hands the attributes on by name, with references replaced. No name may be there twice.
    pub(crate) fn each(
        mut self,
        mut take: impl FnMut(&'a str, Cow<'a, str>) -> Result<(), Reason>,
    ) -> Result<(), Reason> {
        let mut names = [""; NAMES_COMPARED];
        let mut count = 0;
        while let Some((name, value)) = self.next()? {
            if names[..count].contains(&name) {
                return Err(Reason::Malformed("an attribute that is there twice"));
            }
            if count == NAMES_COMPARED {
                return Err(Reason::TooMuch {
                    what: "the number of attributes",
                    most: NAMES_COMPARED as u64,
                });
            }
            names[count] = name;
            count += 1;
            take(name, unescape(value)?)?;
        }
        Ok(())
    }
}

/// The most attributes of one element. Apple's have at most 15.
const NAMES_COMPARED: usize = 32;

/// Whether this may be the name of an element or an attribute.
pub(crate) fn is_name(name: &str) -> bool {
    let first = name.as_bytes().first();
    first.is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_' || !first.is_ascii())
        && !name.bytes().any(|byte| byte <= b' ' || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'/' | b'&'))
}

/// Replaces XML's own five entities and references to characters; any other entity is refused. White space is normalised, as
/// XML has it for attributes.
pub(crate) fn unescape(value: &str) -> Result<Cow<'_, str>, Reason> {
    let is_plain = |byte: &u8| !matches!(byte, b'&' | b'\n' | b'\r' | b'\t');
    if value.as_bytes().iter().all(is_plain) {
        return Ok(Cow::Borrowed(value));
    }
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr(b'&', rest.as_bytes()) {
        push_normalised(&mut text, &rest[..at]);
        let end = memchr2(b';', b'&', &rest.as_bytes()[at + 1..]).map(|end| at + 1 + end);
        let end = end.filter(|end| rest.as_bytes()[*end] == b';').ok_or(Reason::Malformed("a lone `&`"))?;
        text.push(reference(&rest[at + 1..end])?);
        rest = &rest[end + 1..];
    }
    push_normalised(&mut text, rest);
    Ok(Cow::Owned(text))
}

fn push_normalised(text: &mut String, plain: &str) {
    let space = |letter: char| if letter.is_ascii_whitespace() { ' ' } else { letter };
    text.extend(plain.replace("\r\n", " ").chars().map(space));
}

/// The character that a reference stands for, by what is between `&` and `;`.
pub(crate) fn reference(name: &str) -> Result<char, Reason> {
    let number = |digits: &str, radix| {
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let code = is_number.then(|| u32::from_str_radix(digits, radix).ok()).flatten();
        let allowed = |letter: &char| !letter.is_control() || matches!(letter, '\t' | '\n' | '\r');
        code.and_then(char::from_u32).filter(allowed).ok_or(Reason::Malformed("a reference to no character"))
    };
    match name {
        "amp" => Ok('&'),
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "quot" => Ok('"'),
        "apos" => Ok('\''),
        _ => match name.strip_prefix("#x").map(|hex| number(hex, 16)) {
            Some(found) => found,
            None => match name.strip_prefix('#') {
                Some(decimal) => number(decimal, 10),
                None => Err(Reason::UndefinedEntity),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(content: &str) -> Result<Vec<(String, String)>, Reason> {
        let mut found = Vec::new();
        Attributes::new(content).each(|name, value| {
            found.push((name.to_owned(), value.into_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn attributes_are_read_as_xml_has_them() {
        assert_eq!(all("").unwrap(), []);
        assert_eq!(all(" \n").unwrap(), []);
        assert_eq!(
            all(" a=\"1\"\n\tb = '\"x\"' c=\"&lt;&amp;&#233;&#x2019;&gt;\" d=\"\"").unwrap(),
            [pair("a", "1"), pair("b", "\"x\""), pair("c", "<&é’>"), pair("d", "")]
        );
        // A line end in an attribute is a space; one that is written as a reference stays.
        assert_eq!(all(" a=\"1\r\n2\n3&#10;4\"").unwrap(), [pair("a", "1 2 3\n4")]);
    }

    #[test]
    fn what_is_no_attribute_is_refused() {
        for content in [
            " a",
            " a=",
            " a=1",
            " a=\"1",
            " =\"1\"",
            " a=\"1\"b=\"2\"",
            " a=\"<\"",
            " a=\"&\"",
            " a=\"&;\"",
            " a=\"&x\"",
            " a=\"1\" a=\"1\"",
            " a b=\"1\"",
            " /a=\"1\"",
            " a=\"&#0;\"",
            " a=\"&#xD800;\"",
            " a=\"&#-1;\"",
            " a=\"&# 1;\"",
            " a=\"&#x;\"",
            " a=\"&xxe;\"",
        ] {
            assert!(all(content).is_err(), "{content}");
        }
        assert!(matches!(all(" a=\"&xxe;\""), Err(Reason::UndefinedEntity)));
        let long = format!(" a=\"{}\"", "x".repeat(limits::ATTRIBUTE_BYTES_MAX + 1));
        assert!(matches!(all(&long), Err(Reason::TooMuch { .. })));
        let many = (0..40).map(|n| format!(" a{n}=\"\"")).collect::<Vec<_>>().concat();
        assert!(matches!(all(&many), Err(Reason::TooMuch { .. })));
    }
}
