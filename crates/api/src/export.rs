//! An export as a ZIP archive that is made while it is sent.

use app::export::{Piece, Pieces};
use async_zip::{Compression, ZipEntryBuilder, base::write::ZipFileWriter};
use bytes::Bytes;
use futures::{AsyncWriteExt, Stream, StreamExt, stream};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::io::{DuplexStream, duplex};
use tokio_util::io::ReaderStream;

use crate::routes::health_data::Reading;

/// How many bytes of the archive wait for a client that is slow.
const BUFFER_BYTES: usize = 64 * 1024;

/// What the archive holds, written last.
#[derive(Serialize)]
struct Manifest {
    format: &'static str,
    user_id: String,
    exported_at: String,
    files: Vec<FileEntry>,
    /// Files that should be there and could not be found.
    missing: Vec<String>,
}

#[derive(Serialize)]
struct FileEntry {
    name: String,
    /// Lines, of a file that has lines.
    entries: u64,
    size_bytes: u64,
    sha256: String,
}

/// A file that is being written.
struct Open {
    name: String,
    entries: u64,
    size_bytes: u64,
    hash: Sha256,
}

impl Open {
    fn new(name: String) -> Self {
        Self { name, entries: 0, size_bytes: 0, hash: Sha256::new() }
    }

    fn note(&mut self, bytes: &[u8]) {
        self.size_bytes += bytes.len() as u64;
        self.hash.update(bytes);
    }

    fn close(self) -> FileEntry {
        let Self { name, entries, size_bytes, hash } = self;
        FileEntry { name, entries, size_bytes, sha256: hex::encode(hash.finalize()) }
    }
}

/// Why an archive ends early: the client left, or the export failed. The log has the reason; the client sees that the answer
/// breaks off.
#[derive(Debug, thiserror::Error)]
#[error("the export broke off")]
pub(crate) struct BrokenOff;

/// The archive's bytes.
pub(crate) fn archive(
    pieces: Pieces,
    user_id: String,
    exported_at: String,
) -> impl Stream<Item = Result<Bytes, BrokenOff>> {
    let (writer, reader) = duplex(BUFFER_BYTES);
    let manifest =
        Manifest { format: "clarity-export/1", user_id, exported_at, files: Vec::new(), missing: Vec::new() };
    let writing = tokio::spawn(async move {
        let written = write(pieces, writer, manifest).await;
        if let Err(error) = &written {
            tracing::warn!(error = %error, "an export broke off");
        }
        written.is_ok()
    });
    let body =
        ReaderStream::with_capacity(reader, BUFFER_BYTES).map(|piece| piece.map_err(|_hidden| BrokenOff));
    // The end of the bytes is an end only if the writer says that it is one.
    let end = stream::once(async move { writing.await.unwrap_or(false) })
        .filter_map(async |is_whole| (!is_whole).then_some(Err(BrokenOff)));
    body.chain(end)
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("reading failed: {0}")]
    Read(#[from] app::AppError),
    #[error("writing failed: {0}")]
    Zip(#[from] async_zip::error::ZipError),
    #[error("writing failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("encoding failed")]
    Json(#[from] serde_json::Error),
    #[error("the reader ended by itself")]
    Ended,
}

async fn write(mut pieces: Pieces, out: DuplexStream, mut manifest: Manifest) -> Result<(), Fault> {
    let mut archive = ZipFileWriter::with_tokio(out);
    let mut next = pieces.recv().await.ok_or(Fault::Ended)??;
    loop {
        let mut file = match next {
            Piece::File(name) => Open::new(name),
            Piece::Missing(name) => {
                manifest.missing.push(name);
                next = pieces.recv().await.ok_or(Fault::Ended)??;
                continue;
            }
            Piece::End => break,
            Piece::Line(_) | Piece::Readings(_) | Piece::Bytes(_) => return Err(Fault::Ended),
        };
        let entry = ZipEntryBuilder::new(file.name.clone().into(), Compression::Deflate);
        let mut entry = archive.write_entry_stream(entry).await?;
        next = loop {
            let bytes: Bytes = match pieces.recv().await.ok_or(Fault::Ended)?? {
                Piece::Line(line) => {
                    file.entries += 1;
                    [&line[..], b"\n"].concat().into()
                }
                Piece::Readings(samples) => {
                    file.entries += samples.len() as u64;
                    let mut lines = Vec::new();
                    for sample in &samples {
                        serde_json::to_writer(&mut lines, &Reading::from(sample))?;
                        lines.push(b'\n');
                    }
                    lines.into()
                }
                Piece::Bytes(bytes) => bytes,
                other @ (Piece::File(_) | Piece::Missing(_) | Piece::End) => break other,
            };
            file.note(&bytes);
            entry.write_all(&bytes).await?;
        };
        entry.close().await?;
        manifest.files.push(file.close());
    }
    let entry = ZipEntryBuilder::new("manifest.json".into(), Compression::Deflate);
    archive.write_entry_whole(entry, &serde_json::to_vec_pretty(&manifest)?).await?;
    archive.close().await?;
    Ok(())
}
