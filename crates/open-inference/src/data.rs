//! A tensor's values in JSON, read straight into their place.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

use crate::DIMENSIONS_MAX;

/// An array of numbers, or of arrays of the same length and depth.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) values: Vec<f32>,
    /// The length of the arrays of each depth, the outermost first.
    lengths: [Option<usize>; DIMENSIONS_MAX],
    /// In how many arrays each number is.
    depth: Option<usize>,
}

impl Data {
    /// The shape that the arrays have; of flat data, their number.
    pub(crate) fn shape(&self) -> impl Iterator<Item = usize> {
        self.lengths.iter().map_while(|length| *length)
    }

    fn push<E: Error>(&mut self, depth: usize, value: f64) -> Result<(), E> {
        if *self.depth.get_or_insert(depth) != depth || self.lengths.get(depth).is_some_and(Option::is_some) {
            return Err(E::custom("numbers and arrays are mixed in data"));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the nearest float is what is meant")]
        let value = value as f32;
        if !value.is_finite() {
            return Err(E::custom("data holds a number that FP32 cannot"));
        }
        self.values.push(value);
        Ok(())
    }

    fn open<E: Error>(&self, depth: usize) -> Result<(), E> {
        if depth == DIMENSIONS_MAX {
            return Err(E::custom(format_args!("data is nested more than {DIMENSIONS_MAX} deep")));
        }
        if self.depth.is_some_and(|of_numbers| of_numbers <= depth) {
            return Err(E::custom("numbers and arrays are mixed in data"));
        }
        Ok(())
    }

    fn close<E: Error>(&mut self, depth: usize, length: usize) -> Result<(), E> {
        if self.lengths[depth].is_some_and(|known| known != length) {
            return Err(E::custom("arrays of the same depth have different lengths in data"));
        }
        self.lengths[depth] = Some(length);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut data = Self::default();
        Element { data: &mut data, depth: 0 }.deserialize(deserializer)?;
        if data.depth == Some(0) {
            return Err(D::Error::custom("data is a number, not an array of numbers"));
        }
        Ok(data)
    }
}

/// A number, or an array of what is one deeper.
struct Element<'a> {
    data: &'a mut Data,
    /// How many arrays are around it.
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers, or arrays of numbers, in data")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.data.push(self.depth, value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.data.push(self.depth, value as f64)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.data.push(self.depth, value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { data, depth } = self;
        data.open(depth)?;
        let mut length = 0;
        while elements.next_element_seed(Element { data: &mut *data, depth: depth + 1 })?.is_some() {
            length += 1;
        }
        data.close(depth, length)
    }
}
