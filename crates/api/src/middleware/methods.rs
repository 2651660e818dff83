//! Which methods a resource has, as the API's own document says.

use std::{collections::HashMap, sync::OnceLock};

use utoipa::OpenApi;

use crate::ClarityApi;

/// The resources outside of the document; all of them are read.
const PAGES: [&str; 3] = ["/", "/health", "/docs"];

/// What is only read.
pub(super) const READ: &str = "GET, HEAD, OPTIONS";

static ALLOWED: OnceLock<HashMap<String, String>> = OnceLock::new();

/// The `Allow` of the resource with this pattern.
pub(crate) fn allowed(pattern: &str) -> Option<&'static str> {
    let allowed = ALLOWED.get_or_init(|| {
        let pages = PAGES.iter().map(|page| (plain(page), READ.to_owned()));
        pages.chain(documented()).collect()
    });
    allowed.get(&plain(pattern)).map(String::as_str)
}

fn documented() -> Vec<(String, String)> {
    let paths = ClarityApi::openapi().paths.paths;
    let entry = |(path, item): (String, utoipa::openapi::PathItem)| {
        let methods = [
            ("GET, HEAD", item.get.is_some()),
            ("POST", item.post.is_some()),
            ("PUT", item.put.is_some()),
            ("PATCH", item.patch.is_some()),
            ("DELETE", item.delete.is_some()),
            ("OPTIONS", true),
        ];
        let names: Vec<&str> = methods.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
        (plain(&path), names.join(", "))
    };
    paths.into_iter().map(entry).collect()
}

/// A pattern by its fixed parts: the document and the router may call a parameter by different names.
fn plain(pattern: &str) -> String {
    let mut plain = String::with_capacity(pattern.len());
    let mut depth = 0_usize;
    for character in pattern.chars() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                plain.push_str("{}");
            }
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_has_the_methods_of_the_document() {
        assert_eq!(allowed("/api/v1/auth/me"), Some("GET, HEAD, PUT, OPTIONS"));
        assert_eq!(allowed("/api/v1/auth/login"), Some("POST, OPTIONS"));
        assert_eq!(allowed("/objects/{key:.*}"), Some("GET, HEAD, PUT, OPTIONS"));
        assert_eq!(allowed("/api/v1/healthkit/status/{any_name}"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(allowed("/"), Some("GET, HEAD, OPTIONS"));
        assert_eq!(allowed("/api/v1/nowhere"), None);
    }
}
