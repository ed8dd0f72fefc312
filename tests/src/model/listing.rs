//! Listings by definition: filter, roll up, cut. No cleverness, so that it can be checked by eye.

use super::content::Tag;

/// What a listing asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Only keys that begin so.
    pub prefix: Vec<u8>,
    /// Keys that contain this after the prefix are rolled up. Never empty.
    pub delimiter: Option<Vec<u8>>,
    /// Only keys and common prefixes greater than this.
    pub after: Option<Vec<u8>>,
    /// At most so many rows.
    pub max: usize,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// An object.
    Object {
        /// Its key.
        key: Vec<u8>,
        /// Its size, bytes.
        size: u64,
        /// Its tag.
        tag: Tag,
    },
    /// A common prefix.
    Prefix(Vec<u8>),
}

/// One page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// In order of [`Row::name`].
    pub rows: Vec<Row>,
    /// More follow.
    pub truncated: bool,
}

impl Row {
    /// What rows are ordered by.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Object { key, .. } => key,
            Self::Prefix(prefix) => prefix,
        }
    }
}

impl Listing {
    /// The common prefix that `key` is rolled up to, if it is; `None` also when the key does not match at all.
    #[must_use]
    pub fn common_prefix(&self, key: &[u8]) -> Option<Vec<u8>> {
        let delimiter = self.delimiter.as_ref()?;
        assert!(!delimiter.is_empty(), "an empty delimiter must be left out");
        let rest = key.strip_prefix(self.prefix.as_slice())?;
        let at = rest.windows(delimiter.len()).position(|window| window == delimiter.as_slice())?;
        key.get(..self.prefix.len() + at + delimiter.len()).map(<[u8]>::to_vec)
    }

    /// The page that `objects`, which are in order of their keys, make.
    #[must_use]
    pub fn page<'a>(&self, objects: impl Iterator<Item = (&'a [u8], u64, Tag)>) -> Page {
        let mut rows: Vec<Row> = Vec::new();
        for (key, size, tag) in objects.filter(|(key, ..)| key.starts_with(&self.prefix)) {
            let row = match self.common_prefix(key) {
                Some(prefix) => Row::Prefix(prefix),
                None => Row::Object { key: key.to_vec(), size, tag },
            };
            let seen = rows.last() == Some(&row);
            let wanted = self.after.as_ref().is_none_or(|after| row.name() > after.as_slice());
            if wanted && !seen {
                rows.push(row);
            }
        }
        // With max 0 S3 answers an empty page that is not truncated.
        let truncated = self.max > 0 && rows.len() > self.max;
        rows.truncate(self.max);
        Page { rows, truncated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: Tag = Tag { md5: [0; 16], part_count: 0 };

    fn names(keys: &[&str], query: &Listing) -> (String, bool) {
        let page = query.page(keys.iter().map(|key| (key.as_bytes(), 0, TAG)));
        let names = page.rows.iter().map(|row| match row {
            Row::Object { key, .. } => String::from_utf8(key.clone()).unwrap(),
            Row::Prefix(prefix) => format!("<{}>", String::from_utf8(prefix.clone()).unwrap()),
        });
        (names.collect::<Vec<_>>().join(" "), page.truncated)
    }

    fn query(prefix: &str, delimiter: &str, after: &str, max: usize) -> Listing {
        let some = |text: &str| (!text.is_empty()).then(|| text.as_bytes().to_vec());
        Listing { prefix: prefix.into(), delimiter: some(delimiter), after: some(after), max }
    }

    const KEYS: [&str; 7] = ["a", "a/", "a/1", "a/b/2", "a//", "b", "b//c"];

    #[test]
    fn prefixes_and_delimiters_roll_up() {
        let mut keys = KEYS;
        keys.sort_unstable();
        let check = |prefix, delimiter, after, max, wanted: &str, truncated| {
            assert_eq!(names(&keys, &query(prefix, delimiter, after, max)), (wanted.to_owned(), truncated));
        };
        check("", "", "", 100, "a a/ a// a/1 a/b/2 b b//c", false);
        check("", "/", "", 100, "a <a/> b <b/>", false);
        check("a/", "/", "", 100, "a/ <a//> a/1 <a/b/>", false);
        check("", "//", "", 100, "a a/ <a//> a/1 a/b/2 b <b//>", false);
        check("z", "/", "", 100, "", false);
    }

    #[test]
    fn pages_count_prefixes_and_go_on_after_the_last_name() {
        let check = |after, max, wanted: &str, truncated| {
            assert_eq!(names(&KEYS, &query("", "/", after, max)), (wanted.to_owned(), truncated));
        };
        check("", 2, "a <a/>", true);
        check("a/", 2, "b <b/>", false);
        check("a/1", 1, "b", true);
        check("", 0, "", false);
        check("b/", 5, "", false);
    }
}
