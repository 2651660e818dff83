//! Who a request comes from, behind the proxies that are trusted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use actix_web::http::header::HeaderMap;

use crate::config::{ClientAddressHeader, Server};

/// The client's address. A header is believed as far as trusted proxies wrote it: from its end to the first address that is
/// none of theirs. What stands before that anyone can have written.
pub(crate) fn client(server: &Server, peer: Option<SocketAddr>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip().to_canonical());
    let is_trusted =
        |address: &IpAddr| server.trusted_proxies.iter().any(|network| network.contains(address));
    let mut client = peer;
    let chain = chain(server.client_address_header, headers);
    for hop in chain.iter().rev() {
        if !is_trusted(&client) {
            break;
        }
        // A proxy that hides where a request came from answers for it itself.
        let Some(address) = address(hop) else { break };
        client = address;
    }
    client
}

/// Whether a proxy says that it passed the request on.
pub(crate) fn is_forwarded(headers: &HeaderMap) -> bool {
    ClientAddressHeader::ALL.iter().any(|header| headers.contains_key(header.name()))
}

/// Every hop that the header names, the farthest first.
fn chain(header: ClientAddressHeader, headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header.name()).map(|line| line.to_str().unwrap_or_default());
    let hops = lines.flat_map(|line| line.split(','));
    match header {
        ClientAddressHeader::XForwardedFor => hops.map(|hop| hop.trim().to_owned()).collect(),
        ClientAddressHeader::Forwarded => hops.map(for_of).collect(),
    }
}

/// The `for` of one element of `Forwarded` (RFC 7239); empty where it has none.
fn for_of(element: &str) -> String {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    found.map_or_else(String::new, |(_, value)| value.trim().trim_matches('"').to_owned())
}

/// An address as proxies write it: bare, with a port, or in brackets.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::{Config, Sources};

    fn seen(trusted: &str, kind: &str, peer: &str, lines: &[(&str, &str)]) -> String {
        let overrides = [("server.trusted_proxies", trusted), ("server.client_address_header", kind)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let sources = Sources { overrides: overrides.to_vec(), ..Sources::default() };
        let config = Config::load(&sources).unwrap().config;
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        client(&config.server, Some(SocketAddr::new(peer.parse().unwrap(), 1)), &headers).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        let xff = "x-forwarded-for";
        let by = |trusted: &str, peer: &str, value: &str| seen(trusted, xff, peer, &[(xff, value)]);
        assert_eq!(by("", "10.0.0.1", "198.51.100.7"), "10.0.0.1", "nobody is trusted by default");
        assert_eq!(by("10.0.0.0/8", "192.0.2.1", "198.51.100.7"), "192.0.2.1", "the peer is a stranger");
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", "198.51.100.7"), "198.51.100.7");
        assert_eq!(
            by("10.0.0.0/8", "10.0.0.1", "203.0.113.9, 198.51.100.7"),
            "198.51.100.7",
            "a forged entry"
        );
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", "198.51.100.7, 10.1.1.1, 10.2.2.2"), "198.51.100.7");
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", "10.1.1.1"), "10.1.1.1", "everybody is a proxy");
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", "198.51.100.7, unknown"), "10.0.0.1", "what cannot be read");
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", ""), "10.0.0.1");
        assert_eq!(by("10.0.0.0/8", "10.0.0.1", "198.51.100.7:4711"), "198.51.100.7");
        assert_eq!(by("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:198.51.100.7"), "198.51.100.7");
        assert_eq!(by("fd00::/8,10.0.0.1/32", "fd00::1", "[2001:db8::7]:443, 10.0.0.1"), "2001:db8::7");
        let two = [(xff, "203.0.113.9"), (xff, "198.51.100.7")];
        assert_eq!(seen("10.0.0.0/8", xff, "10.0.0.1", &two), "198.51.100.7", "two lines are one list");
        let other = [("forwarded", "for=203.0.113.9")];
        assert_eq!(
            seen("10.0.0.0/8", xff, "10.0.0.1", &other),
            "10.0.0.1",
            "not the header that was agreed on"
        );
    }

    #[test]
    fn forwarded_is_read_where_the_proxy_writes_it() {
        let by = |value: &str| seen("10.0.0.0/8", "forwarded", "10.0.0.1", &[("forwarded", value)]);
        assert_eq!(by("for=198.51.100.7"), "198.51.100.7");
        assert_eq!(by("For=\"[2001:db8::7]:4711\";proto=https"), "2001:db8::7");
        assert_eq!(by("for=203.0.113.9, proto=https;for=198.51.100.7;by=10.0.0.1"), "198.51.100.7");
        assert_eq!(by("for=_hidden"), "10.0.0.1");
        assert_eq!(by("proto=https"), "10.0.0.1");
    }
}
