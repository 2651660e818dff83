//! Listing an archive, keeping what is in it and reading its export never panics and never takes more than was allowed.
#![no_main]

use std::io::{self, Cursor, Write};

use apple_health::{Archive, ArchiveLimits, Batch, Position, State};
use libfuzzer_sys::fuzz_target;

const LIMITS: ArchiveLimits = ArchiveLimits {
    entries_max: 1_000,
    export_bytes_max: 1 << 20,
    attachment_bytes_max: 1 << 16,
    attachments_bytes_max: 1 << 20,
    ratio_max: 200,
};

struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        assert!(self.0 <= LIMITS.attachment_bytes_max);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut archive) = Archive::open(Cursor::new(bytes), LIMITS) else { return };
    for attachment in archive.attachments().to_vec() {
        let is_plain = attachment.name.split('/').all(|part| !matches!(part, "" | "." | ".."));
        assert!(is_plain, "{}", attachment.name);
        let mut counted = Counted(0);
        if let Ok(kept) = archive.keep(&attachment, &mut counted) {
            assert_eq!((kept.bytes, counted.0), (attachment.bytes, attachment.bytes));
        }
    }
    let Ok(mut reader) = archive.export(Position::START) else { return };
    let mut batch = Batch::default();
    while matches!(reader.read(&mut batch, 100), Ok(State::More)) {}
});
