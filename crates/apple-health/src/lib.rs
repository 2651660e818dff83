//! Apple Health's `export.xml`, and the `.zip` around it, as the samples of `domain`.
//!
//! A file of any size is read in one pass and in bounded memory. After each [batch](Batch) the reader tells its
//! [position](Position); together with the file itself that is all it takes to [go on](ExportReader::resume) there. What could
//! harm is [refused](Refused) with its line and a reason, and what was read before it stays valid.
//!
//! The file has no ids, so a sample's is made of its content key: type, instants, unit, value and device are read by the same
//! rules as those of uploads. Some things a file cannot tell, see [`ExportReader`].

mod archive;
mod error;
mod input;
mod item;
mod limits;
mod names;
mod reader;
mod shared;
mod tag;
mod values;

pub use self::{
    archive::{Archive, ArchiveLimits, Attachment, AttachmentKind, Kept, Metered, Unpacked},
    error::{Reason, Refused},
    item::{ActivitySummary, Batch, Beat, Beats, Counts, Place, Position, REJECTIONS_MAX, Rejection},
    reader::{ExportReader, State},
};
