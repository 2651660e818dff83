//! What moved rows leave behind. `secure_delete` zeroes a row where it is deleted; but when SQLite moves rows from one page to
//! another, copies of them stay in the first page's unallocated space, and survive the row. The layout of a page is that of
//! <https://sqlite.org/fileformat2.html#b_tree_pages>.

use std::ops::Range;

use futures::TryStreamExt;
use sqlx::SqliteConnection;

/// How many pages are looked at in one read, and overwritten in one transaction: neither holds others up, or the log, for long.
const SLICE: i64 = 1024;

/// From here on (2^25 pages, 128 GiB of 4 KiB each) the first byte of an overflow page may look like that of a b-tree page.
const PAGES_END: i64 = 1 << 25;

/// Whether the SQLite in this program was compiled with what this needs.
pub(super) async fn is_possible(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT sqlite_compileoption_used('ENABLE_DBPAGE_VTAB')").fetch_one(connection).await
}

/// The first pages of the slices that the database has.
pub(super) async fn slices(reader: &mut SqliteConnection) -> sqlx::Result<impl Iterator<Item = i64> + use<>> {
    let count: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(reader).await?;
    if count >= PAGES_END {
        return Err(sqlx::Error::Protocol("the database is too large to be scrubbed".to_owned()));
    }
    // What is added meanwhile was never another row's place.
    Ok((1..=count).step_by(usize::try_from(SLICE).unwrap_or(1)))
}

/// The numbers of the pages of a slice that hold more than zeroes where nothing is allocated.
pub(super) async fn pages(reader: &mut SqliteConnection, first: i64) -> sqlx::Result<Vec<i64>> {
    let query = "WITH RECURSIVE numbers(number) AS (SELECT ?1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?2) \
                 SELECT pgno, data FROM numbers CROSS JOIN sqlite_dbpage ON pgno = number";
    let mut rows =
        sqlx::query_as::<_, (i64, Vec<u8>)>(query).bind(first).bind(first + SLICE - 1).fetch(reader);
    let mut found = Vec::new();
    while let Some((number, page)) = rows.try_next().await? {
        if residue(number, &page).is_some() {
            found.push(number);
        }
    }
    Ok(found)
}

/// Zeroes the unallocated space of pages, within the connection's transaction.
pub(super) async fn remove(writer: &mut SqliteConnection, pages: &[i64]) -> sqlx::Result<()> {
    for number in pages {
        // Since it was found it may have been used for something else.
        let page: Option<(Vec<u8>,)> = sqlx::query_as("SELECT data FROM sqlite_dbpage WHERE pgno = ?")
            .bind(number)
            .fetch_optional(&mut *writer)
            .await?;
        let Some((mut page,)) = page else { continue };
        let Some(range) = residue(*number, &page) else { continue };
        page[range].fill(0);
        let update = sqlx::query("UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?");
        update.bind(page).bind(number).execute(&mut *writer).await?;
    }
    Ok(())
}

/// Where in a page there may be copies of rows, if any may be.
fn residue(number: i64, page: &[u8]) -> Option<Range<usize>> {
    unallocated(number, page).filter(|range| page[range.clone()].iter().any(|byte| *byte != 0))
}

/// Where in a b-tree page nothing is: between the pointers to its cells and the first of them.
fn unallocated(number: i64, page: &[u8]) -> Option<Range<usize>> {
    // The first page begins with the header of the file.
    let header = if number == 1 { 100 } else { 0 };
    let at = |offset: usize| {
        let bytes = page.get(header + offset..header + offset + 2)?;
        Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let header_size = match page.get(header)? {
        0x02 | 0x05 => 12,
        0x0a | 0x0d => 8,
        _ => return None,
    };
    let start = header + header_size + 2 * at(3)?;
    // Zero stands for 65,536.
    let end = at(5).map(|end| if end == 0 { 1 << 16 } else { end })?;
    (start <= end && end <= page.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(kind: u8, cells: u16, content: u16) -> Vec<u8> {
        let mut page = vec![7; 512];
        page[0] = kind;
        page[3..5].copy_from_slice(&cells.to_be_bytes());
        page[5..7].copy_from_slice(&content.to_be_bytes());
        page
    }

    #[test]
    fn nothing_is_between_the_pointers_and_the_cells() {
        assert_eq!(unallocated(2, &page(0x0d, 3, 400)), Some(14..400));
        assert_eq!(unallocated(2, &page(0x0a, 0, 512)), Some(8..512));
        assert_eq!(unallocated(2, &page(0x02, 3, 400)), Some(18..400));
        assert_eq!(unallocated(2, &page(0x05, 1, 14)), Some(14..14));
        let mut first = vec![0; 100];
        first.extend(page(0x0d, 3, 400));
        assert_eq!(unallocated(1, &first), Some(114..400));
    }

    #[test]
    fn what_is_no_b_tree_page_is_left_alone() {
        for other in [
            page(0, 3, 400),
            page(1, 3, 400),
            page(0x0d, 300, 400),
            page(0x0d, 3, 600),
            Vec::new(),
            vec![0x0d],
        ] {
            assert_eq!(unallocated(2, &other), None);
        }
    }
}
