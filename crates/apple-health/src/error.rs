//! Why a file is refused.

use std::io;

use crate::item::Position;

/// A file that cannot be read on: what came before the [position](Self::position) was read, and stays valid.
#[derive(Debug, thiserror::Error)]
#[error("line {}: {reason}", position.line)]
pub struct Refused {
    /// Where the file was left.
    pub position: Position,
    /// Why.
    pub reason: Reason,
}

/// Why a file, or an archive of files, is refused. None of the texts holds anything that the file holds.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It ends in the middle of the document.
    #[error("the file ends before the document does")]
    Truncated,
    /// It is XML of another kind.
    #[error("the document is not an Apple Health export: its root is not `HealthData`")]
    NotHealthData,
    /// It is not XML, or not well-formed.
    #[error("not well-formed XML: {0}")]
    Malformed(&'static str),
    /// It declares what would have to be replaced or fetched.
    #[error("the document declares {0}, which no Apple Health export does")]
    Declaration(&'static str),
    /// It uses an entity other than XML's own five.
    #[error("an entity that is not defined")]
    UndefinedEntity,
    /// Something in it is longer or deeper than any export's.
    #[error("{what} is more than {most}")]
    TooMuch {
        /// What is.
        what: &'static str,
        /// The limit.
        most: u64,
    },
    /// It is an archive that is refused.
    #[error("the archive is refused: {0}")]
    Archive(&'static str),
    /// It could not be read.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
}

impl Reason {
    /// A reason that was wrapped by [`Reason::into_io`] somewhere below, else the fault of reading itself.
    pub(crate) fn from_io(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(reason) => reason,
            Err(error) => match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::Truncated,
                // The checksum, or the compressed data itself.
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    Self::Archive("its data is damaged")
                }
                _ => Self::Io(error),
            },
        }
    }

    /// Takes the reason through a reader.
    pub(crate) fn into_io(self) -> io::Error {
        io::Error::other(self)
    }
}
