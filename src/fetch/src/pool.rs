//! A row of servers whose addresses follow each other. Pure.

use reqwest::Url;

/// The last octet that a server may have: 255 is for all of them.
const LAST: u8 = 254;

/// The URLs of `path` at `count` servers, the first of them at `base` and each next one at an address whose last octet is
/// higher by one; the row ends at 254. A host that is no IPv4 address stands alone.
///
/// # Errors
/// A sentence if `base` is no address of http or https, or `path` no path.
pub fn row(base: &str, count: u8, path: &str) -> Result<Vec<String>, String> {
    let wrong =
        |why: &dyn std::fmt::Display| format!("{base:?} is no address such as http://10.0.0.1:8000: {why}");
    let mut first = Url::parse(base).map_err(|error| wrong(&error))?;
    if !matches!(first.scheme(), "http" | "https") {
        return Err(wrong(&"it must begin with http:// or https://"));
    }
    // What is in front of the path stays.
    if !first.path().ends_with('/') {
        first.set_path(&format!("{}/", first.path()));
    }
    let target =
        first.join(path.trim_start_matches('/')).map_err(|error| format!("{path:?} is no path: {error}"))?;
    if target.host() != first.host() || target.port() != first.port() {
        return Err(format!("{path:?} is no path"));
    }
    let Ok(address) = target.host_str().unwrap_or_default().parse::<std::net::Ipv4Addr>() else {
        return Ok(vec![target.into()]);
    };
    let [a, b, c, start] = address.octets();
    // The first is taken as it is given.
    let others = (1..count).map_while(|step| start.checked_add(step)).take_while(|last| *last <= LAST);
    let mut row = vec![target.to_string()];
    for last in others {
        let mut url = target.clone();
        if url.set_ip_host(std::net::Ipv4Addr::new(a, b, c, last).into()).is_ok() {
            row.push(url.into());
        }
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::row;

    #[test]
    fn the_last_octet_rises_to_254() {
        let path = "/api/v1/meetings/7/download-package";
        assert_eq!(
            row("http://10.0.0.1:8000", 3, path).unwrap(),
            [1, 2, 3].map(|last| format!("http://10.0.0.{last}:8000{path}"))
        );
        let end = row("http://10.0.0.253", 9, "x?a=1").unwrap();
        assert_eq!(end, ["http://10.0.0.253/x?a=1", "http://10.0.0.254/x?a=1"]);
        assert_eq!(row("http://10.0.0.1", 254, "x").unwrap().len(), 254);
        assert_eq!(row("http://10.0.0.1", 1, "x").unwrap().len(), 1);
    }

    #[test]
    fn a_name_stands_alone() {
        assert_eq!(row("https://hub.example/a", 3, "b c").unwrap(), ["https://hub.example/a/b%20c"]);
        assert_eq!(row("http://[::1]:80/", 3, "x").unwrap(), ["http://[::1]/x"]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (base, path) in
            [("10.0.0.1", "x"), ("ftp://10.0.0.1", "x"), ("", "x"), ("http://10.0.0.1", "http://other/")]
        {
            assert!(row(base, 3, path).is_err(), "{base} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_row_stays_in_its_network(last: u8, count: u8, path in "\\PC{0,12}") {
            if let Ok(row) = row(&format!("http://10.1.2.{last}:9"), count, &path) {
                prop_assert!(row.len() <= usize::from(count).max(1));
                prop_assert!(row.iter().all(|url| url.starts_with("http://10.1.2.")));
            }
        }
    }
}
