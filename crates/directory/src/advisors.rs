use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::database::{Parameter, optional_text, text, texts};
use crate::error::ApiError;
use crate::listing::Position;
use crate::resource::{Input, Listed, Named, Resource, named};
use crate::text::{check_email, check_ids, check_text, fold};

#[derive(Debug, Serialize)]
pub(crate) struct Advisor {
    #[serde(flatten)]
    item: AdvisorItem,
    courses: Vec<Course>,
}

/// An advisor in a list.
#[derive(Debug, Serialize)]
pub(crate) struct AdvisorItem {
    id: String,
    given_name: String,
    family_name: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    office: Option<String>,
    departments: Vec<Named>,
}

/// A course that the advisor teaches.
#[derive(Debug, Serialize)]
struct Course {
    id: String,
    title: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdvisorInput {
    id: Option<String>,
    given_name: String,
    family_name: String,
    email: String,
    office: Option<String>,
    departments: Vec<String>,
}

impl AdvisorItem {
    fn from_row(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            given_name: row.get("given_name"),
            family_name: row.get("family_name"),
            email: row.get("email"),
            office: row.get("office"),
            departments: named(row, "department_ids", "department_names"),
        }
    }
}

/// The columns of [`AdvisorItem`].
macro_rules! item_columns {
    () => {
        "advisors.id, given_name, family_name, email, office,
            ARRAY(SELECT department FROM advises JOIN departments ON departments.id = department
                WHERE advisor = advisors.id ORDER BY departments.folded_name, department) AS department_ids,
            ARRAY(SELECT name FROM advises JOIN departments ON departments.id = department
                WHERE advisor = advisors.id ORDER BY departments.folded_name, department) AS department_names"
    };
}

impl Resource for Advisor {
    type Input = AdvisorInput;

    const SINGULAR: &str = "advisor";
    const PLURAL: &str = "advisors";
    const AFFECTED: &[&str] = &["courses"];

    const SELECT: &str = concat!(
        "SELECT ",
        item_columns!(),
        ",
            ARRAY(SELECT course FROM teaches JOIN courses ON courses.id = course
                WHERE advisor = advisors.id ORDER BY folded_title, course) AS course_ids,
            ARRAY(SELECT title FROM teaches JOIN courses ON courses.id = course
                WHERE advisor = advisors.id ORDER BY folded_title, course) AS course_titles
        FROM advisors WHERE id = $1"
    );
    const LOCK: &str = "SELECT FROM advisors WHERE id = $1 FOR UPDATE";
    const INSERT: &str = "
        WITH inserted AS (
            INSERT INTO advisors (id, given_name, family_name, email, office, folded_name)
            VALUES ($1, $2, $3, $4, $5, $7) RETURNING id)
        INSERT INTO advises (advisor, department) SELECT id, unnest($6) FROM inserted";
    const UPDATE: &str = "
        WITH updated AS (
            UPDATE advisors SET given_name = $2, family_name = $3, email = $4, office = $5, folded_name = $7 WHERE id = $1),
        deleted AS (DELETE FROM advises WHERE advisor = $1 AND department <> ALL ($6))
        INSERT INTO advises (advisor, department) SELECT $1, unnest($6) ON CONFLICT DO NOTHING";
    const DELETE: &str = "DELETE FROM advisors WHERE id = $1";
    const DEPENDENTS: &str = "SELECT 'courses' AS plural, course AS id FROM teaches WHERE advisor = $1";

    const UNIQUE: &[(&str, &str, &str)] = &[
        ("advisors_pkey", "ID_TAKEN", "An advisor has this id."),
        ("advisors_email_key", "EMAIL_TAKEN", "An advisor has this e-mail address."),
    ];
    const REFERENCES: &[(&str, &str)] = &[("advises_department_fkey", "departments")];

    fn from_row(row: &Row) -> Self {
        let (ids, titles): (Vec<String>, Vec<String>) = (row.get("course_ids"), row.get("course_titles"));
        let courses = ids.into_iter().zip(titles).map(|(id, title)| Course { id, title }).collect();
        Self { item: AdvisorItem::from_row(row), courses }
    }
}

impl Listed for Advisor {
    type Item = AdvisorItem;

    /// Each word of a search is in the advisor's name, or in the name of a department, or in the title of a course.
    const LIST: &str = concat!(
        "SELECT ",
        item_columns!(),
        ", folded_name
        FROM advisors
        WHERE ($1 IS NULL OR EXISTS (SELECT FROM advises WHERE advisor = advisors.id AND department = $1))
            AND NOT EXISTS (
                SELECT FROM unnest($2) AS word
                WHERE folded_name NOT LIKE word
                    AND NOT EXISTS (SELECT FROM advises JOIN departments ON departments.id = department
                        WHERE advisor = advisors.id AND departments.folded_name LIKE word)
                    AND NOT EXISTS (SELECT FROM teaches JOIN courses ON courses.id = course
                        WHERE advisor = advisors.id AND folded_title LIKE word))
            AND ($3 IS NULL OR (folded_name, id) > ($3, $4))
        ORDER BY folded_name, id
        LIMIT $5"
    );

    fn item(row: &Row) -> (AdvisorItem, Position) {
        (AdvisorItem::from_row(row), Position { folded: row.get("folded_name"), id: row.get("id") })
    }
}

impl Input for AdvisorInput {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn check(&self) -> Result<(), ApiError> {
        check_text("given_name", &self.given_name, 100)?;
        check_text("family_name", &self.family_name, 100)?;
        check_email("email", &self.email)?;
        if let Some(office) = &self.office {
            check_text("office", office, 100)?;
        }
        check_ids("departments", &self.departments, 20)
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            text(&self.given_name),
            text(&self.family_name),
            text(&self.email),
            optional_text(self.office.clone()),
            texts(self.departments.clone()),
            text(fold(&format!("{} {}", self.family_name, self.given_name))),
        ]
    }

    /// The courses that an advisor teaches are fields of the courses.
    fn dependents(&self) -> (&'static str, &[String]) {
        ("courses", &[])
    }
}
