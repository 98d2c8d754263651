//! A listing that is believed only when its pages agree (contract, 4.2).
//!
//! Concurrent changes shift offsets, and peers have deleted what a short listing did not show. Not for what an entry means: that is `wire`.

use std::collections::HashMap;

use super::lenient_json::{Many, Scalar};
use super::wire::LIMIT;

/// A server that never ends is not believed either, nor is a count beyond this (200,000 records: a hundred times what was ever seen).
pub(super) const MOST_PAGES: usize = 2_000;

/// One page: its rows by id, or why a row spoils it.
pub(super) struct Page<T> {
    pub(super) rows: Vec<Result<(String, T), String>>,
    pub(super) total: Scalar<'static>,
}

impl<T> Page<T> {
    /// From a parsed page. `Err` when it is no page at all.
    pub(super) fn new<E>(
        items: Many<E, LIMIT>,
        total: &Scalar<'_>,
        row: impl FnMut(E) -> Result<(String, T), String>,
    ) -> Result<Self, String> {
        let items = match items {
            Many::Items(items) => items,
            // Nor is a page without its list an empty one.
            Many::Absent | Many::Invalid => return Err("it has no list: it is not the documented JSON".to_owned()),
        };
        let total = total.whole().map_or(Scalar::Absent, Scalar::Whole);
        Ok(Self {
            rows: items.into_iter().map(row).collect(),
            total,
        })
    }
}

/// One reading of a listing, page after page. Pure, so that what is believed can be tried on any pages.
pub(super) struct Reading<T> {
    /// What was listed, each id once.
    pub(super) rows: Vec<T>,
    /// Entries received, repetitions included: the next page's offset.
    pub(super) received: usize,
    pub(super) pages: usize,
    seen: HashMap<String, usize>,
    total: Option<u64>,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            received: 0,
            pages: 0,
            seen: HashMap::new(),
            total: None,
        }
    }
}

impl<T: PartialEq> Reading<T> {
    /// Takes in the next page; whether the listing is whole with it. `Err` says what does not agree.
    pub(super) fn take(&mut self, page: Page<T>) -> Result<bool, String> {
        self.pages += 1;
        let Some(page_total) = page.total.whole() else {
            return Err(format!("page {} gives no total count", self.pages));
        };
        let total = *self.total.get_or_insert(page_total);
        if page_total != total {
            return Err(format!(
                "the total count changed from {total} to {page_total} between pages"
            ));
        }
        if total > (MOST_PAGES * LIMIT) as u64 {
            return Err(format!(
                "the total count is {total}, more than the {} that are read",
                MOST_PAGES * LIMIT
            ));
        }
        let empty = page.rows.is_empty();
        self.received += page.rows.len();
        for row in page.rows {
            let (id, row) = row?;
            // Two ids that differ in case only are one, listed differently.
            let id = id.to_ascii_lowercase();
            match self.seen.get(&id).and_then(|at| self.rows.get(*at)) {
                // A shift between pages shows a record twice; the count then tells that another was missed.
                Some(before) if *before == row => {}
                Some(_) => return Err(format!("{id} is listed twice, differently")),
                None => {
                    self.seen.insert(id, self.rows.len());
                    self.rows.push(row);
                }
            }
        }
        if !empty && (self.received as u64) < total {
            return Ok(false);
        }
        match self.rows.len() {
            got if got as u64 == total => Ok(true),
            got => Err(format!(
                "{got} different ids were listed, but the total count is {total}"
            )),
        }
    }
}
