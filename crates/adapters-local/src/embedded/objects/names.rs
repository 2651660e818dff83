//! Where an object's file is.
//!
//! Each part of a key between slashes is a folder, the last one a file. Their names end in a character that no key has, so
//! `a` and `a/b` do not meet; long parts are cut, as file systems allow 255 bytes; and capitals are marked, as some file
//! systems do not tell them from small letters.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ports::{Error, ObjectKey, Result};

use crate::embedded::io_error;

/// The most characters of a key in one name; capitals take two bytes each.
const CUT: usize = 120;
/// Ends the name of the folder of what follows a slash.
const FOLDER: char = ',';
/// Ends the name of the folder of the rest of a part that was cut.
const CONTINUED: char = '+';
/// Ends the name of an object's file.
const OBJECT: char = '=';
const CAPITAL: char = '^';

/// The file of `key` below `kept`.
pub(super) fn path(kept: &Path, key: &ObjectKey) -> PathBuf {
    let mut path = kept.to_owned();
    let mut parts = key.as_str().split('/').peekable();
    while let Some(mut part) = parts.next() {
        while let Some((first, rest)) = part.split_at_checked(CUT) {
            path.push(encode(first, CONTINUED));
            part = rest;
        }
        path.push(encode(part, if parts.peek().is_some() { FOLDER } else { OBJECT }));
    }
    path
}

fn encode(text: &str, end: char) -> String {
    let mut name = String::with_capacity(text.len() + 1);
    for character in text.chars() {
        if character.is_ascii_uppercase() {
            name.push(CAPITAL);
        }
        name.push(character.to_ascii_lowercase());
    }
    name.push(end);
    name
}

/// The part of a key that a name stands for, with the slash where one follows, and whether it is a file's.
fn decode(name: &str) -> Option<(String, bool)> {
    let end = name.chars().next_back()?;
    let mut text = String::with_capacity(name.len());
    let mut is_capital = false;
    for character in name[..name.len() - end.len_utf8()].chars() {
        if character != CAPITAL {
            text.push(if is_capital { character.to_ascii_uppercase() } else { character });
        }
        is_capital = character == CAPITAL;
    }
    match end {
        FOLDER => Some((text + "/", false)),
        CONTINUED => Some((text, false)),
        OBJECT => Some((text, true)),
        _ => None,
    }
}

/// Why a walk ended early.
pub(super) enum Stop {
    Io(io::Error),
    Visitor(Error),
}

impl Stop {
    pub(super) fn into_error(self, operation: &'static str) -> Error {
        match self {
            Self::Io(error) => io_error(operation, error),
            Self::Visitor(error) => error,
        }
    }
}

/// Shows `visit` the keys that begin with `prefix` and come after `after`, in byte order, until it answers false.
///
/// Only the folders that can hold such keys are read. Entries are ordered by the text they stand for, a folder's with its
/// slash: `a-b` comes before `a/b`, and that before `a0`.
pub(super) fn walk(
    kept: &Path,
    prefix: &str,
    after: Option<&str>,
    visit: &mut dyn FnMut(ObjectKey) -> Result<bool>,
) -> std::result::Result<(), Stop> {
    walk_below(kept, "", &Wanted { prefix, after }, visit).map(drop)
}

struct Wanted<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
}

impl Wanted<'_> {
    fn is_key(&self, key: &str) -> bool {
        key.starts_with(self.prefix) && self.after.is_none_or(|after| key > after)
    }

    /// Whether a key that begins with `start` can be wanted.
    fn can_begin_with(&self, start: &str) -> bool {
        let fits = start.starts_with(self.prefix) || self.prefix.starts_with(start);
        fits && self.after.is_none_or(|after| start > after || after.starts_with(start))
    }
}

fn walk_below(
    folder: &Path,
    start: &str,
    wanted: &Wanted<'_>,
    visit: &mut dyn FnMut(ObjectKey) -> Result<bool>,
) -> std::result::Result<bool, Stop> {
    let mut entries = Vec::new();
    let names = match fs::read_dir(folder) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(Stop::Io(error)),
    };
    for entry in names {
        let entry = entry.map_err(Stop::Io)?;
        let name = entry.file_name();
        let Some((text, is_object)) = name.to_str().and_then(decode) else { continue };
        let key = format!("{start}{text}");
        if if is_object { wanted.is_key(&key) } else { wanted.can_begin_with(&key) } {
            entries.push((key, is_object, name));
        }
    }
    // A file goes before the folder of the same text, which continues it.
    entries.sort_unstable_by(|a, b| (&a.0, !a.1).cmp(&(&b.0, !b.1)));
    for (key, is_object, name) in entries {
        let goes_on = if is_object {
            // A name that is no key was not made here.
            match ObjectKey::new(key) {
                Ok(key) => visit(key).map_err(Stop::Visitor)?,
                Err(_) => true,
            }
        } else {
            walk_below(&folder.join(name), &key, wanted, visit)?
        };
        if !goes_on {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::new(text).unwrap()
    }

    #[test]
    fn names_stay_within_what_file_systems_allow_and_never_meet() {
        let long = "A".repeat(512);
        let texts = ["a", "A", "a/b", "a.b", "a/b/c", &long, &long[..CUT], &long[..=CUT], &long[..2 * CUT]];
        let paths: Vec<PathBuf> = texts.iter().map(|text| path(Path::new("kept"), &key(text))).collect();
        for (n, path) in paths.iter().enumerate() {
            assert!(path.iter().all(|name| name.len() <= 255), "{path:?}");
            let lower = |path: &Path| path.to_str().unwrap().to_lowercase();
            let others = paths.iter().enumerate().filter(|(other, _)| *other != n);
            assert!(
                others.into_iter().all(|(_, other)| lower(other) != lower(path) && !other.starts_with(path))
            );
        }
    }

    #[test]
    fn a_walk_shows_the_keys_in_byte_order_from_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(CUT);
        let mut texts: Vec<String> =
            ["a", "a-b", "a/b", "a/b/c", "a0", "B", "b/B", "b/a", "b.c/d"].map(str::to_owned).to_vec();
        texts.extend(["", "-", "/y", "0", "/y/z"].map(|rest| format!("{long}{rest}")));
        for text in &texts {
            let path = path(folder.path(), &key(text));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        texts.sort();
        let mut afters: Vec<Option<&str>> = texts.iter().map(|text| Some(text.as_str())).collect();
        afters.extend([None, Some("a/"), Some("zzz")]);
        for prefix in ["", "a", "a/", "b", &long, "q"] {
            for after in &afters {
                let mut seen = Vec::new();
                let mut visit = |key: ObjectKey| {
                    seen.push(key.to_string());
                    Ok(true)
                };
                assert!(walk(folder.path(), prefix, *after, &mut visit).is_ok());
                let wanted = texts.iter().filter(|text| text.starts_with(prefix));
                let wanted: Vec<&String> =
                    wanted.filter(|text| after.is_none_or(|after| text.as_str() > after)).collect();
                assert_eq!(seen.iter().collect::<Vec<_>>(), wanted, "{prefix} {after:?}");
            }
        }
    }
}
