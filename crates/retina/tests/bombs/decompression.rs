//! Decompression bombs: small files that unpack to gigabytes.

use std::time::Instant;

use flate2::{Compress, Compression, FlushCompress};
use retina::{Limits, Photograph, Refusal};

/// A PNG chunk.
fn chunk(kind: [u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&kind[..], data].concat();
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&length[..], &body, &crc32fast::hash(&body).to_be_bytes()].concat()
}

/// So many MiB of zeros, deflated: one block after another that needs none before it.
fn zeros(mib: usize) -> Vec<u8> {
    let mut block = Compress::new(Compression::best(), false);
    let mut bytes = Vec::with_capacity(1 << 16);
    block.compress_vec(&vec![0; 1 << 20], &mut bytes, FlushCompress::Full).unwrap();
    // Of zlib's own: a header, an empty last block, and Adler-32 of nothing but zeros.
    let sum = (u32::try_from((mib << 20) % 65_521).unwrap() << 16) | 1;
    [&[0x78, 0xDA][..], &bytes.repeat(mib), &[0x03, 0x00], &sum.to_be_bytes()].concat()
}

fn png(width: u32, height: u32, more: &[Vec<u8>], data: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(*b"IHDR", &header));
    file.extend(more.concat());
    file.extend(chunk(*b"IDAT", data));
    file.extend(chunk(*b"IEND", &[]));
    file
}

/// A little-endian TIFF of one deflated strip, 8-bit RGB.
fn tiff(width: u32, height: u32, rows_per_strip: u32, data: &[u8]) -> Vec<u8> {
    let entries: [(u16, u16, u32); 9] = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 2),
        (273, 4, 8),
        (277, 3, 3),
        (278, 4, rows_per_strip),
        (279, 4, u32::try_from(data.len()).unwrap()),
    ];
    let mut file = b"II*\0".to_vec();
    file.extend(u32::try_from(8 + data.len()).unwrap().to_le_bytes());
    file.extend(data);
    file.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(1_u32.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    file
}

/// A JPEG whose frame says a size, with the beginning of a scan.
fn jpeg(width: u16, height: u16, frame: u8) -> Vec<u8> {
    let real = std::fs::read("tests/pictures/grade-0.jpg").unwrap();
    let at = real.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    let mut file = real;
    file[at + 1] = frame;
    file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// The most memory that this process ever had, in MB.
#[cfg(target_os = "linux")]
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[cfg(not(target_os = "linux"))]
fn peak_mb() -> u64 {
    0
}

#[test]
fn bombs_are_refused_within_200_ms_and_64_mb() {
    // A bit a pixel: 30,000 x 30,000 of them are 112 MB unpacked, and 2.7 GB as RGB.
    let monochrome = zeros(108);
    // A comment that unpacks to 1 GB.
    let comment = [b"Comment\0\0".to_vec(), zeros(1024)].concat();
    let strip = zeros(1024);
    let bombs = [
        ("png, large", png(30_000, 30_000, &[], &monochrome)),
        ("png, too many pixels within the sides", png(9_999, 9_999, &[], &monochrome)),
        ("png, 4 billion a side", png(u32::MAX, u32::MAX, &[], &monochrome)),
        ("png, a comment that unpacks", png(30_000, 30_000, &[chunk(*b"zTXt", &comment)], &monochrome)),
        ("png, a profile that unpacks", png(30_000, 30_000, &[chunk(*b"iCCP", &comment)], &monochrome)),
        ("tiff, large", tiff(60_000, 60_000, 60_000, &strip)),
        ("tiff, too many pixels", tiff(9_000, 9_000, 9_000, &strip)),
        ("jpeg, large", jpeg(65_500, 65_500, 0xC0)),
        ("jpeg, progressive and large", jpeg(65_500, 65_500, 0xC2)),
        ("jpeg, too many pixels", jpeg(9_000, 9_000, 0xC0)),
    ];
    let mut one = Vec::with_capacity(3 << 20);
    flate2::Decompress::new(true)
        .decompress_vec(&zeros(2), &mut one, flate2::FlushDecompress::Finish)
        .unwrap();
    assert!(one == vec![0; 2 << 20], "a bomb that is no valid stream would be refused for that");
    assert!(bombs.iter().all(|(_, bytes)| bytes.len() < 2 << 20), "a bomb is small");
    let before = peak_mb();
    for (name, bytes) in &bombs {
        let began = Instant::now();
        let refused = Photograph::decode(bytes, Limits::default());
        let took = began.elapsed();
        assert!(matches!(refused, Err(Refusal::TooLarge { .. })), "{name}: {refused:?}");
        assert!(took.as_millis() < 200, "{name}: {took:?}");
        assert!(peak_mb() - before < 64, "{name}: {} MB", peak_mb() - before);
    }
    // A small picture whose parts unpack to more than it has: what is too much is not unpacked.
    let more = [
        ("png, more data than pixels", true, png(80, 80, &[], &zeros(1024))),
        ("png, small, a comment that unpacks", true, png(80, 80, &[chunk(*b"zTXt", &comment)], &zeros(1))),
        ("tiff, a strip that unpacks to more", true, tiff(80, 80, 80, &strip)),
    ];
    for (name, is_read, bytes) in &more {
        let began = Instant::now();
        let decoded = Photograph::decode(bytes, Limits::default());
        let took = began.elapsed();
        let width = decoded.map(|one| one.width());
        assert_eq!(width.as_ref().ok(), is_read.then_some(&80), "{name}: {width:?}");
        assert!(took.as_millis() < 200, "{name}: {took:?}");
        assert!(peak_mb() - before < 64, "{name}: {} MB", peak_mb() - before);
    }
}
