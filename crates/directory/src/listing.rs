//! Which part of a list a request wants.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::database::{Parameter, integer, optional_text, texts};
use crate::error::ApiError;
use crate::text::{check_id, check_text, fold};

const DEFAULT_LIMIT: i32 = 50;
const MAX_LIMIT: i32 = 100;
const MAX_SEARCH_LENGTH: usize = 100;

/// A page of a list: filtered by department, and by the words of a search.
#[derive(Debug, PartialEq)]
pub(crate) struct Listing {
    department: Option<String>,
    words: Vec<String>,
    after: Option<Position>,
    limit: i32,
}

/// Where a page ended: the folded text by which the list is sorted, and the id.
#[derive(Debug, PartialEq)]
pub(crate) struct Position {
    pub folded: String,
    pub id: String,
}

impl Listing {
    /// From the query of a URL, decoded. Unknown and repeated parameters are refused: a mistyped filter must not return
    /// everything.
    pub fn parse(query: &str) -> Result<Self, ApiError> {
        let (mut department, mut search, mut after, mut limit) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "department" => &mut department,
                "q" => &mut search,
                "after" => &mut after,
                "limit" => &mut limit,
                _ => return Err(ApiError::bad_request("The parameters are department, q, after and limit.")),
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(ApiError::bad_value(&name, "is there twice"));
            }
        }
        if let Some(department) = &department {
            check_id("department", department)?;
        }
        let search = search.unwrap_or_default();
        if !search.trim().is_empty() {
            check_text("q", &search, MAX_SEARCH_LENGTH)?;
        }
        let mut words: Vec<String> = fold(&search).split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
        words.sort_unstable();
        words.dedup();
        let after = match after {
            Some(after) => Some(
                Position::parse(&after).ok_or_else(|| ApiError::bad_value("after", "has to be the next of a page"))?,
            ),
            None => None,
        };
        let limit = match limit {
            Some(limit) => limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
                ApiError::bad_value("limit", &format!("has to be a whole number from 1 to {MAX_LIMIT}"))
            })?,
            None => DEFAULT_LIMIT,
        };
        Ok(Self { department, words, after, limit })
    }

    /// The same for requests that have the same answer. The words are last, because they can have any character.
    pub fn key(&self) -> String {
        let department = self.department.as_deref().unwrap_or_default();
        let after = self.after.as_ref().map(Position::cursor).unwrap_or_default();
        format!("limit={}&department={department}&after={after}&q={}", self.limit, self.words.join(" "))
    }

    /// `$1` to `$5` of a list's statement: the department, a `LIKE` pattern for each word, the position's folded text and
    /// id, and how many rows: one more than the page has, which says whether there is a next.
    pub fn parameters(&self) -> Vec<Parameter> {
        let pattern = |word: &String| {
            let escaped = word.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("%{escaped}%")
        };
        vec![
            optional_text(self.department.clone()),
            texts(self.words.iter().map(pattern).collect::<Vec<_>>()),
            optional_text(self.after.as_ref().map(|after| after.folded.clone())),
            optional_text(self.after.as_ref().map(|after| after.id.clone())),
            integer(self.limit + 1),
        ]
    }

    pub fn page_length(&self) -> usize {
        self.limit as usize
    }
}

impl Position {
    /// The `next` of a page: opaque to clients.
    pub fn cursor(&self) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}\0{}", self.folded, self.id))
    }

    fn parse(cursor: &str) -> Option<Self> {
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (folded, id) = decoded.split_once('\0')?;
        check_id("after", id).ok()?;
        (!folded.contains(char::is_control)).then(|| Self { folded: folded.to_owned(), id: id.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_with_the_same_answer_share_a_key() {
        let keys = ["q=M%C3%BCller+ada&limit=50", "limit=50&q=ada++muller", "q=ADA%20M%C3%BCller"]
            .map(|query| Listing::parse(query).expect(query).key());
        assert!(keys.iter().all(|key| key == "limit=50&department=&after=&q=ada muller"), "{keys:?}");
    }

    #[test]
    fn a_page_continues_where_the_one_before_ended() {
        let position = Position { folded: "lovelace ada".into(), id: "ada".into() };
        let listing = Listing::parse(&format!("after={}", position.cursor())).expect("it is a page's next");
        assert_eq!(listing.after, Some(position));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=1&limit=2", "limit"),
            ("after=%00", "after"),
            ("department=a%20b", "department"),
            ("q=a%00b", "q"),
        ] {
            let error = format!("{:?}", Listing::parse(query).expect_err(query));
            assert!(error.contains(&format!("The value of {name} ")), "{error}");
        }
        assert!(Listing::parse("page=2").is_err());
    }

    #[test]
    fn a_search_has_no_wildcards() {
        let (pattern, _) = &Listing::parse("q=100%25_%5C").expect("it is valid").parameters()[1];
        assert_eq!(format!("{pattern:?}"), r#"["%100\\%\\_\\\\%"]"#);
    }
}
