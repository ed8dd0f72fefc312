//! What holds of every listing, whatever is stored: needed where concurrent writers leave no single right answer.

use crate::model::{Listing, Page, Row};

/// Checks one page against its query: order, bounds, prefix, and that what should be rolled up is.
///
/// # Errors
/// What is wrong, in words.
pub fn check_page(query: &Listing, page: &Page) -> Result<(), String> {
    if page.rows.len() > query.max {
        return Err(format!("{} rows, and {} is the most", page.rows.len(), query.max));
    }
    if page.truncated && page.rows.is_empty() {
        return Err("truncated, but nothing to go on from".to_owned());
    }
    let mut previous = query.after.as_deref();
    for row in &page.rows {
        let name = row.name();
        if previous.is_some_and(|previous| name <= previous) {
            return Err(format!("{name:?} follows {previous:?}"));
        }
        if !name.starts_with(&query.prefix) {
            return Err(format!("{name:?} does not begin with {:?}", query.prefix));
        }
        let rolled_up = query.common_prefix(name);
        let right = match row {
            Row::Object { .. } => rolled_up.is_none(),
            Row::Prefix(prefix) => rolled_up.as_ref() == Some(prefix),
        };
        if !right {
            return Err(format!("{row:?} is not what the delimiter {:?} makes", query.delimiter));
        }
        previous = Some(name);
    }
    Ok(())
}

/// Checks that `pages`, each asked for after the last name of the one before, make the one page `whole`.
///
/// # Errors
/// What is wrong, in words.
pub fn check_walk(pages: &[Page], whole: &Page) -> Result<(), String> {
    let rows: Vec<&Row> = pages.iter().flat_map(|page| &page.rows).collect();
    if let Some(at) = rows.iter().zip(&whole.rows).position(|(found, wanted)| **found != *wanted) {
        return Err(format!("row {at} is {:?} and should be {:?}", rows.get(at), whole.rows.get(at)));
    }
    if rows.len() != whole.rows.len() {
        return Err(format!("{} rows in pages, {} in one piece", rows.len(), whole.rows.len()));
    }
    let ends = pages.iter().map(|page| page.truncated);
    let wanted = (1..=pages.len()).map(|number| number < pages.len());
    if ends.eq(wanted) { Ok(()) } else { Err("only the last page may be, and must be, the end".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::KeyPool;
    use crate::model::Tag;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    const TAG: Tag = Tag { md5: [0; 16], part_count: 0 };

    fn object(key: &str) -> Row {
        Row::Object { key: key.into(), size: 0, tag: TAG }
    }

    fn query(max: usize) -> Listing {
        Listing { prefix: b"a".to_vec(), delimiter: Some(b"/".to_vec()), after: None, max }
    }

    #[test]
    fn wrong_pages_are_found_wrong() {
        let page = |rows: Vec<Row>| Page { rows, truncated: false };
        assert_eq!(check_page(&query(9), &page(vec![object("a"), Row::Prefix(b"a/".to_vec())])), Ok(()));
        for (max, rows) in [
            (1, vec![object("a"), object("ab")]),
            (9, vec![object("ab"), object("a")]),
            (9, vec![object("a"), object("a")]),
            (9, vec![object("b")]),
            (9, vec![object("a/b")]),
            (9, vec![Row::Prefix(b"a/b/".to_vec())]),
            (9, vec![Row::Prefix(b"ab".to_vec())]),
        ] {
            assert!(check_page(&query(max), &page(rows.clone())).is_err(), "{rows:?}");
        }
        assert!(check_page(&query(9), &Page { rows: Vec::new(), truncated: true }).is_err());
    }

    #[test]
    fn the_models_pages_are_right_and_make_the_whole() {
        for seed in 0..20 {
            let pool = KeyPool::new(&mut ChaCha8Rng::seed_from_u64(seed), 80);
            for (delimiter, max) in [(None, 1), (None, 7), (Some(b"/".to_vec()), 1), (Some(b"a".to_vec()), 3)]
            {
                let list = |after, max| {
                    let query = Listing { prefix: Vec::new(), delimiter: delimiter.clone(), after, max };
                    let page = query.page(pool.iter().map(|key| (key, 1, TAG)));
                    assert_eq!(check_page(&query, &page), Ok(()));
                    page
                };
                let (whole, mut pages) = (list(None, usize::MAX), vec![list(None, max)]);
                while let Some(last) = pages.last().filter(|page| page.truncated) {
                    let after = last.rows.last().map(|row| row.name().to_vec());
                    pages.push(list(after, max));
                }
                assert_eq!(check_walk(&pages, &whole), Ok(()));
                pages.remove(0);
                assert!(check_walk(&pages, &whole).is_err());
            }
        }
    }
}
