//! Statements over many rows. The way to SQLite's thread and back costs more than a row, so rows travel together.

use std::{iter, sync::Arc};

use sqlx::{
    AssertSqlSafe, SqliteConnection,
    error::BoxDynError,
    sqlite::{SqliteArguments, SqliteRow},
};

/// The most rows of one statement.
const ROWS_MAX: usize = 256;

/// Up to so many rows there is a statement for each number of them: the records of one upload go in one.
const ROWS_EACH_MAX: usize = 8;

/// One statement written out for 1, 2, 3, … 8, 16, 32, … 256 rows: few enough texts to stay prepared.
pub(super) struct Rows {
    by_size: Vec<(usize, Arc<str>)>,
}

impl Rows {
    /// `row` writes the placeholders of the row with a number; they are joined by commas between `before` and `after`.
    pub(super) fn new(before: &str, row: impl Fn(usize) -> String, after: &str) -> Self {
        let text = |size: usize| {
            let rows: Vec<String> = (0..size).map(&row).collect();
            format!("{before}{}{after}", rows.join(",")).into()
        };
        let powers = iter::successors(Some(2 * ROWS_EACH_MAX), |size| Some(2 * size));
        let sizes = (1..=ROWS_EACH_MAX).chain(powers.take_while(|size| *size <= ROWS_MAX));
        Self { by_size: sizes.map(|size| (size, text(size))).collect() }
    }

    /// Runs the statement over all `rows`, piece by piece; `bind` adds one row's values to the arguments.
    ///
    /// Answers what comes back, each with the index of the row at which its piece began.
    pub(super) async fn run<R>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: impl ExactSizeIterator<Item = R> + Send,
        bind: impl Fn(&mut SqliteArguments, R) -> Result<(), BoxDynError> + Send,
    ) -> sqlx::Result<Vec<(usize, SqliteRow)>> {
        let mut answers = Vec::new();
        let mut start = 0;
        while let Some((size, text)) = self.by_size.iter().rfind(|(size, _)| *size <= rows.len()) {
            let mut arguments = SqliteArguments::default();
            for row in rows.by_ref().take(*size) {
                bind(&mut arguments, row).map_err(sqlx::Error::Encode)?;
            }
            let text = AssertSqlSafe(Arc::clone(text));
            let piece = sqlx::query_with(text, arguments).fetch_all(&mut *connection).await?;
            answers.extend(piece.into_iter().map(|row| (start, row)));
            start += size;
        }
        Ok(answers)
    }
}
