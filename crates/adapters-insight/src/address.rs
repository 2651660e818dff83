//! Where health data may be sent.

use url::Url;

use crate::fault::Fault;

/// Refuses to send health data where no agreement covers it.
pub(crate) fn check_covered(covered: bool) -> Result<(), Fault> {
    if covered {
        return Ok(());
    }
    Err(Fault::Settings(
        "health data is sent only to a covered endpoint: set `covered = true` once an agreement that allows it \
         (such as a BAA) is in force, or use the template writer",
    ))
}

/// An address that health data can be sent to: by TLS, or not beyond this machine.
pub(crate) fn address(endpoint: &str) -> Result<Url, Fault> {
    let bad = Fault::Settings(
        "the endpoint must be an address without user and query, such as https://host.example",
    );
    let Ok(url) = Url::parse(endpoint) else { return Err(bad) };
    let is_plain = url.query().is_none() && url.fragment().is_none();
    if !is_plain || !url.username().is_empty() || url.password().is_some() || url.cannot_be_a_base() {
        return Err(bad);
    }
    let is_loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback => Ok(url),
        _ => Err(Fault::Settings("the endpoint must be https: health data is not sent in plain text")),
    }
}
