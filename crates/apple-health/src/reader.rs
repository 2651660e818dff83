//! The document, element by element.

mod element;
mod record;

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use quick_xml::{
    Reader,
    errors::{Error, IllFormedError, SyntaxError},
    events::{BytesStart, Event},
};

use self::{element::Element, record::Records};
use crate::{
    error::{Reason, Refused},
    input::{Input, PIECE},
    item::{Batch, Position},
    limits, tag,
};

/// A reader of `export.xml`.
///
/// # What a file does not tell
/// - Ids. A sample's is that of its content key.
/// - The bundle of the app that wrote a sample, and fractions of a second: a sample that an upload has with either has another
///   content key there.
/// - Where a sample was taken, unless its metadata has `HKTimeZone`: phones write all times by the clock of the place where
///   they made the export.
pub struct ExportReader<R> {
    xml: Reader<Input<R>>,
    buffer: Vec<u8>,
    open: Vec<Element>,
    records: Records,
    has_ended: bool,
    /// Whether the parser is where text may begin, so that whole elements may be taken out of its hands.
    is_at_text: bool,
    takes_alike: bool,
    /// Where the event begins that is being read.
    event: Position,
    /// Between two elements of `HealthData`.
    boundary: Position,
}

/// Whether there is more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The batch is full, and the document goes on.
    More,
    /// The document has ended as it should.
    End,
}

impl<R: Read> ExportReader<R> {
    /// Reads a document from its beginning.
    pub fn new(read: R) -> Self {
        Self::resume(read, Position::START)
    }

    /// Goes on at a position that a batch told. `read` begins there.
    pub fn resume(read: R, position: Position) -> Self {
        Self::with_pieces(read, position, PIECE)
    }

    fn with_pieces(read: R, position: Position, piece: usize) -> Self {
        let mut xml = Reader::from_reader(Input::new(read, position, piece));
        xml.config_mut().check_comments = true;
        Self {
            xml,
            buffer: Vec::new(),
            open: Vec::new(),
            records: Records::default(),
            has_ended: false,
            is_at_text: false,
            takes_alike: true,
            event: position,
            boundary: position,
        }
    }

    /// Fills an empty `batch` with the next elements, until it holds `items_max` or somewhat more, or the document ends. Where
    /// the document is refused, the batch holds what came before.
    pub fn read(&mut self, batch: &mut Batch, items_max: usize) -> Result<State, Refused> {
        batch.clear();
        batch.position = Some(self.boundary);
        self.records.renew();
        let mut buffer = std::mem::take(&mut self.buffer);
        let outcome = self.fill(batch, items_max, &mut buffer);
        self.buffer = buffer;
        batch.position = Some(self.boundary);
        outcome.map_err(|reason| Refused { position: self.event, reason })
    }

    fn fill(&mut self, batch: &mut Batch, items_max: usize, buffer: &mut Vec<u8>) -> Result<State, Reason> {
        let (mut elements, first) = (0, self.boundary.offset);
        loop {
            self.event = self.xml.get_mut().position();
            if self.open.len() == 1 && self.is_at_text {
                // Not even of elements that are not kept does a batch take ever more, so that the position moves.
                elements += usize::from(self.event.offset > self.boundary.offset);
                self.boundary = self.event;
                let is_long = self.event.offset - first >= limits::BATCH_BYTES_MAX;
                if batch.samples.len() >= items_max || elements >= items_max.saturating_mul(4) || is_long {
                    return Ok(State::More);
                }
                self.skip_blank()?;
                if self.takes_alike && self.take_alike(batch) {
                    continue;
                }
            }
            buffer.clear();
            self.xml.get_mut().begin_event();
            let event = self.xml.read_event_into(buffer);
            // However the bytes came, it is too long before it is anything else.
            if self.xml.get_ref().event_bytes() > limits::EVENT_BYTES_MAX {
                return Err(limits::too_long_event());
            }
            let event = event.map_err(malformed)?;
            // Only behind text the parser already looks for what comes next.
            self.is_at_text = !matches!(event, Event::Text(_));
            match event {
                Event::Empty(tag) => {
                    let element = self.enter(&tag, self.event.line, batch)?;
                    self.records.leave(element, batch);
                    if self.open.is_empty() {
                        self.has_ended = true;
                    }
                }
                Event::Start(tag) => {
                    let element = self.enter(&tag, self.event.line, batch)?;
                    if self.open.len() == limits::DEPTH_MAX {
                        return Err(limits::too_deep());
                    }
                    self.open.push(element);
                }
                Event::End(_) => {
                    if let Some(element) = self.open.pop() {
                        self.records.leave(element, batch);
                    }
                    if self.open.is_empty() {
                        self.has_ended = true;
                        self.boundary = self.xml.get_mut().position();
                    }
                }
                Event::Text(text) => self.text(text.as_bytes())?,
                Event::CData(text) => self.text(text.as_bytes())?,
                Event::GeneralRef(name) => {
                    tag::reference(&name)?;
                    self.text(b"x")?;
                }
                Event::DocType(declaration) => self.doctype(&declaration)?,
                Event::Decl(declaration) => encoding(&declaration)?,
                Event::Comment(_) | Event::PI(_) => {}
                Event::Eof if self.has_ended => return Ok(State::End),
                Event::Eof => return Err(Reason::Truncated),
            }
        }
    }

    /// Passes over the white space before an element, wherever pieces end in it.
    fn skip_blank(&mut self) -> Result<(), Reason> {
        let input = self.xml.get_mut();
        input.begin_event();
        loop {
            let available = input.fill_buf().map_err(Reason::from_io)?;
            let blank = available.iter().take_while(|byte| is_blank(**byte)).count();
            let goes_on = blank > 0 && blank == available.len();
            input.consume(blank);
            if input.event_bytes() > limits::EVENT_BYTES_MAX {
                return Err(limits::too_long_event());
            }
            if !goes_on {
                break;
            }
        }
        self.event = input.position();
        Ok(())
    }

    /// Takes a record that is written as the one before it.
    #[inline]
    fn take_alike(&mut self, batch: &mut Batch) -> bool {
        let input = self.xml.get_mut();
        let length = self.records.take_alike(input.available(), self.event.line, batch);
        length.inspect(|length| input.consume(*length)).is_some()
    }

    #[inline]
    fn enter(&mut self, tag: &BytesStart<'_>, line: u64, batch: &mut Batch) -> Result<Element, Reason> {
        let (name, attributes) = split(tag)?;
        match self.open.last() {
            None if self.has_ended => Err(Reason::Malformed("a second root")),
            None if name != "HealthData" => Err(Reason::NotHealthData),
            None => Ok(Element::HealthData),
            Some(parent) => self.records.enter(*parent, (name, attributes), line, batch),
        }
    }

    fn text(&self, text: &[u8]) -> Result<(), Reason> {
        match self.open.last() {
            _ if text.iter().all(|byte| is_blank(*byte)) => Ok(()),
            None if self.has_ended => Err(Reason::Malformed("text after the document")),
            None => Err(Reason::NotHealthData),
            // No element that is kept has any.
            Some(_) => Ok(()),
        }
    }

    fn doctype(&self, declaration: &str) -> Result<(), Reason> {
        if !self.open.is_empty() || self.has_ended {
            return Err(Reason::Malformed("a document type within the document"));
        }
        // Apple's own declarations are not always well-formed, so they are only searched for what could do harm.
        let (head, subset) = declaration.split_once('[').unwrap_or((declaration, ""));
        if head.contains("SYSTEM") || head.contains("PUBLIC") {
            return Err(Reason::Declaration("an external document type"));
        }
        if head.trim_ascii() != "HealthData" {
            return Err(Reason::NotHealthData);
        }
        let upper = subset.to_ascii_uppercase();
        if upper.contains("<!ENTITY") || subset.contains('%') {
            return Err(Reason::Declaration("an entity"));
        }
        if upper.contains("<!NOTATION") {
            return Err(Reason::Declaration("a notation"));
        }
        Ok(())
    }
}

impl<R: Read + Seek> ExportReader<R> {
    /// Goes on in a file at a position that a batch told.
    pub fn seek(mut file: R, position: Position) -> io::Result<Self> {
        file.seek(SeekFrom::Start(position.offset))?;
        Ok(Self::resume(file, position))
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// The name of a tag and what stands after it.
#[inline]
fn split<'a>(tag: &'a BytesStart<'_>) -> Result<(&'a str, &'a str), Reason> {
    let content: &str = tag;
    let name = content.len() - tag.attributes_raw().len();
    let (name, attributes) = content.split_at(name);
    if tag::is_name(name) {
        Ok((name, attributes))
    } else {
        Err(Reason::Malformed("a tag without a proper name"))
    }
}

/// Only UTF-8 is read, whatever a declaration says.
fn encoding(declaration: &quick_xml::events::BytesDecl<'_>) -> Result<(), Reason> {
    match declaration.encoding() {
        None => Ok(()),
        Some(Ok(name)) if name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("us-ascii") => {
            Ok(())
        }
        Some(_) => Err(Reason::Malformed("an encoding other than UTF-8")),
    }
}

/// The parser's own texts quote the document.
fn malformed(error: Error) -> Reason {
    match error {
        Error::Io(error) => match std::sync::Arc::try_unwrap(error) {
            Ok(error) => Reason::from_io(error),
            Err(shared) => Reason::Io(io::Error::new(shared.kind(), shared.to_string())),
        },
        Error::Syntax(SyntaxError::InvalidBangMarkup) => Reason::Malformed("an unknown kind of `<!`"),
        // The others say that something was not closed before the file's end.
        Error::Syntax(_) => Reason::Truncated,
        Error::IllFormed(IllFormedError::UnclosedReference) => Reason::Malformed("a lone `&`"),
        Error::IllFormed(_) => Reason::Malformed("elements that do not match, or a comment with `--`"),
        Error::Encoding(_) => Reason::Malformed("text that is not UTF-8"),
        Error::Escape(_) => Reason::UndefinedEntity,
        _ => Reason::Malformed("its structure"),
    }
}

#[cfg(test)]
mod tests;
