//! The query of a request: names and values, as forms write them. Pure.

use percent_encoding::percent_decode_str;

/// A query, still as it was sent.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    /// What stands behind the question mark, if there is one.
    pub fn new(query: Option<&'a str>) -> Query<'a> {
        Query(query.unwrap_or_default())
    }

    /// Whether a name is there, with any value or none.
    pub fn has(self, name: &str) -> bool {
        self.pairs().any(|(found, _)| decode(found).as_deref() == Some(name))
    }

    /// The first value of a name; `None` if it is not there.
    ///
    /// # Errors
    /// A sentence for the client if the value is not UTF-8.
    pub fn get(self, name: &str) -> Result<Option<String>, String> {
        let found = self.pairs().find(|(found, _)| decode(found).as_deref() == Some(name));
        found.map(|(_, value)| decode(value).ok_or_else(|| format!("{name} is not UTF-8"))).transpose()
    }

    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }
}

fn decode(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_may_stand_alone() {
        for query in ["download", "download=1", "x=1&download", "download=", "%64ownload"] {
            assert!(Query::new(Some(query)).has("download"), "{query}");
        }
        for query in ["", "x=download", "downloads", "Download"] {
            assert!(!Query::new(Some(query)).has("download"), "{query}");
        }
        assert!(!Query::new(None).has("download"));
    }

    #[test]
    fn values_are_decoded() {
        let query = Query::new(Some("a=1+2%2B3&b=%E8%A7%86&c&d=x=y&a=4&e=%ff"));
        assert_eq!(query.get("a"), Ok(Some("1 2+3".to_owned())));
        assert_eq!(query.get("b"), Ok(Some("视".to_owned())));
        assert_eq!(query.get("c"), Ok(Some(String::new())));
        assert_eq!(query.get("d"), Ok(Some("x=y".to_owned())));
        assert_eq!(query.get("z"), Ok(None));
        assert_eq!(query.get("e"), Err("e is not UTF-8".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_can_be_sent(text: String) {
            let encoded = percent_encoding::utf8_percent_encode(&text, percent_encoding::NON_ALPHANUMERIC);
            let query = format!("name={encoded}");
            prop_assert_eq!(Query::new(Some(&query)).get("name"), Ok(Some(text)));
        }
    }
}
