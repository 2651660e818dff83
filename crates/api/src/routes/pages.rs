//! Listings by pages whose cursors are the store's own, signed.

use actix_web::{HttpRequest, web};
use ports::Cursor;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{cursor, extract::Ctx, problem::Problem};

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// Entries a page, 1 to 1000.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<usize>,
    /// From `pagination.next_cursor`.
    cursor: Option<String>,
}

/// Where a page stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct NextPage {
    /// How many entries were asked for.
    #[schema(example = 50)]
    page_size: usize,
    has_next: bool,
    /// For the `cursor` of the next request.
    next_cursor: Option<String>,
}

/// What a request asks for.
pub(super) struct Asked {
    pub(super) limit: usize,
    pub(super) cursor: Option<Cursor>,
    scope: String,
}

impl Asked {
    /// `scope` says what is listed and for whom: a cursor opens nothing else.
    pub(super) fn of(context: &Ctx, request: &HttpRequest, scope: String) -> Result<Self, Problem> {
        let query = web::Query::<PageQuery>::from_query(request.query_string())
            .map_err(|_hidden| Problem::field("", "the query parameters are limit and cursor"))?;
        let limit = query.limit.unwrap_or(50);
        if !(1..=1000).contains(&limit) {
            return Err(Problem::field("limit", "1 to 1000"));
        }
        let cursor = query.cursor.as_deref();
        let cursor =
            cursor.map(|text| cursor::open::<String>(&context.cursor_key, &scope, text)).transpose()?;
        Ok(Self { limit, cursor: cursor.map(Cursor), scope })
    }

    pub(super) fn next(&self, context: &Ctx, next: Option<&Cursor>) -> NextPage {
        let next = next.map(|next| cursor::seal(&context.cursor_key, &self.scope, &next.0));
        NextPage { page_size: self.limit, has_next: next.is_some(), next_cursor: next }
    }
}
