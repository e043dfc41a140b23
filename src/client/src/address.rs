//! Lists of `host:port`.

use std::net::SocketAddrV6;

/// Why a list of addresses is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// Splits `host:port;host:port,host:port`: `;` and `,` separate, blanks around an address and empty entries are
/// ignored, IPv6 addresses stand in brackets (`[::1]:21000`). An address given twice is kept once.
///
/// # Errors
/// [`AddressError`] if no address is in it or one of them is malformed; a name is not looked up.
pub fn parse_addresses(text: &str) -> Result<Vec<String>, AddressError> {
    let mut addresses = Vec::new();
    for address in text.split([';', ',']).map(str::trim).filter(|address| !address.is_empty()) {
        check(address).map_err(|why| AddressError(format!("\"{address}\" is not host:port: {why}")))?;
        if !addresses.iter().any(|known| known == address) {
            addresses.push(address.to_owned());
        }
    }
    if addresses.is_empty() {
        return Err(AddressError("no address given; it should look like 127.0.0.1:21000".to_owned()));
    }
    Ok(addresses)
}

fn check(address: &str) -> Result<(), &'static str> {
    if address.starts_with('[') {
        let parsed: SocketAddrV6 = address.parse().map_err(|_| "it should look like [::1]:21000")?;
        return if parsed.port() == 0 { Err("the port is 0") } else { Ok(()) };
    }
    let (host, port) = address.rsplit_once(':').ok_or("the port is missing")?;
    if host.contains(':') {
        return Err("an IPv6 address stands in brackets, as in [::1]:21000");
    }
    let ok = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(ok) {
        return Err("the host is not a name or an IPv4 address");
    }
    if port.is_empty() || port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    match port.parse::<u32>() {
        Ok(1..=65535) => Ok(()),
        _ => Err("the port is not within 1 to 65535"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse_addresses;

    fn address() -> impl Strategy<Value = String> {
        let name = "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\\.[a-z0-9]{1,8}){0,3}";
        let ipv4 = any::<std::net::Ipv4Addr>().prop_map(|ip| ip.to_string());
        let ipv6 = any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}]"));
        let host = prop_oneof![name.prop_map(String::from), ipv4, ipv6];
        (host, 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}"))
    }

    proptest! {
        #[test]
        fn a_list_is_split_into_what_was_joined(
            addresses in prop::collection::hash_set(address(), 1..6),
            separator in "( ?[;,]){1,3} ?",
        ) {
            let addresses: Vec<_> = addresses.into_iter().collect();
            let text = addresses.join(&separator);
            prop_assert_eq!(parse_addresses(&text), Ok(addresses));
        }

        #[test]
        fn what_is_accepted_can_be_taken_apart(text in "[a-z0-9:;,.\\[\\] -]{0,40}|\\PC{0,40}") {
            for address in parse_addresses(&text).unwrap_or_default() {
                let (host, port) = address.rsplit_once(':').unwrap();
                prop_assert!(!host.is_empty() && port.parse::<u16>().unwrap() > 0);
                prop_assert!(!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
            }
        }
    }

    #[test]
    fn duplicates_and_empty_entries_are_left_out() {
        assert_eq!(parse_addresses(" a:1;b:2,,a:1; ").unwrap(), ["a:1", "b:2"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            ("", "no address given"),
            (" ; ,", "no address given"),
            ("host", "the port is missing"),
            ("host:", "the port is not a number"),
            ("host:+1", "the port is not a number"),
            ("host:http", "the port is not a number"),
            ("host:0", "within 1 to 65535"),
            ("host:65536", "within 1 to 65535"),
            ("host:4294967297", "the port is not a number"),
            (":1", "the host is not a name"),
            ("ho st:1", "the host is not a name"),
            ("user@host:1", "the host is not a name"),
            ("::1:21000", "stands in brackets"),
            ("[::1]", "[::1]:21000"),
            ("[::1]:0", "the port is 0"),
            ("[host]:1", "[::1]:21000"),
            ("a:1;b", "\"b\" is not host:port"),
        ] {
            let error = parse_addresses(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
