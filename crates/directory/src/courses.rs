use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::database::{Parameter, integer, text, texts};
use crate::error::ApiError;
use crate::listing::Position;
use crate::resource::{Input, Listed, Named, Resource};
use crate::text::{check_id, check_ids, check_number, check_text, fold};

#[derive(Debug, Serialize)]
pub(crate) struct Course {
    #[serde(flatten)]
    item: CourseItem,
    description: String,
    advisors: Vec<Advisor>,
}

/// A course in a list.
#[derive(Debug, Serialize)]
pub(crate) struct CourseItem {
    id: String,
    title: String,
    credits: i32,
    department: Named,
}

/// An advisor who teaches the course.
#[derive(Debug, Serialize)]
struct Advisor {
    id: String,
    given_name: String,
    family_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CourseInput {
    id: Option<String>,
    title: String,
    description: String,
    credits: i32,
    department: String,
    advisors: Vec<String>,
}

impl CourseItem {
    fn from_row(row: &Row) -> Self {
        Self {
            id: row.get("id"),
            title: row.get("title"),
            credits: row.get("credits"),
            department: Named { id: row.get("department"), name: row.get("department_name") },
        }
    }
}

impl Resource for Course {
    type Input = CourseInput;

    const SINGULAR: &str = "course";
    const PLURAL: &str = "courses";
    const AFFECTED: &[&str] = &["advisors"];

    const SELECT: &str = "
        SELECT courses.id, title, credits, department, departments.name AS department_name, description,
            ARRAY(SELECT advisor FROM teaches JOIN advisors ON advisors.id = advisor
                WHERE course = courses.id ORDER BY folded_name, advisor) AS advisor_ids,
            ARRAY(SELECT given_name FROM teaches JOIN advisors ON advisors.id = advisor
                WHERE course = courses.id ORDER BY folded_name, advisor) AS given_names,
            ARRAY(SELECT family_name FROM teaches JOIN advisors ON advisors.id = advisor
                WHERE course = courses.id ORDER BY folded_name, advisor) AS family_names
        FROM courses JOIN departments ON departments.id = department
        WHERE courses.id = $1";
    const LOCK: &str = "SELECT FROM courses WHERE id = $1 FOR UPDATE";
    const INSERT: &str = "
        WITH inserted AS (
            INSERT INTO courses (id, title, description, credits, department, folded_title)
            VALUES ($1, $2, $3, $4, $5, $7) RETURNING id)
        INSERT INTO teaches (course, advisor) SELECT id, unnest($6) FROM inserted";
    const UPDATE: &str = "
        WITH updated AS (
            UPDATE courses SET title = $2, description = $3, credits = $4, department = $5, folded_title = $7 WHERE id = $1),
        deleted AS (DELETE FROM teaches WHERE course = $1 AND advisor <> ALL ($6))
        INSERT INTO teaches (course, advisor) SELECT $1, unnest($6) ON CONFLICT DO NOTHING";
    const DELETE: &str = "DELETE FROM courses WHERE id = $1";
    const DEPENDENTS: &str = "SELECT 'advisors' AS plural, advisor AS id FROM teaches WHERE course = $1";

    const UNIQUE: &[(&str, &str, &str)] = &[("courses_pkey", "ID_TAKEN", "A course has this id.")];
    const REFERENCES: &[(&str, &str)] =
        &[("courses_department_fkey", "department"), ("teaches_advisor_fkey", "advisors")];

    fn from_row(row: &Row) -> Self {
        let (ids, given_names, family_names): (Vec<String>, Vec<String>, Vec<String>) =
            (row.get("advisor_ids"), row.get("given_names"), row.get("family_names"));
        let names = given_names.into_iter().zip(family_names);
        let advisors = ids
            .into_iter()
            .zip(names)
            .map(|(id, (given_name, family_name))| Advisor { id, given_name, family_name })
            .collect();
        Self { item: CourseItem::from_row(row), description: row.get("description"), advisors }
    }
}

impl Listed for Course {
    type Item = CourseItem;

    /// Each word of a search is in the course's title or in the department's name.
    const LIST: &str = "
        SELECT courses.id, title, credits, department, name AS department_name, folded_title
        FROM courses JOIN departments ON departments.id = department
        WHERE ($1 IS NULL OR department = $1)
            AND NOT EXISTS (
                SELECT FROM unnest($2) AS word WHERE folded_title NOT LIKE word AND folded_name NOT LIKE word)
            AND ($3 IS NULL OR (folded_title, courses.id) > ($3, $4))
        ORDER BY folded_title, courses.id
        LIMIT $5";

    fn item(row: &Row) -> (CourseItem, Position) {
        (CourseItem::from_row(row), Position { folded: row.get("folded_title"), id: row.get("id") })
    }
}

impl Input for CourseInput {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn check(&self) -> Result<(), ApiError> {
        check_text("title", &self.title, 200)?;
        check_text("description", &self.description, 2000)?;
        check_number("credits", self.credits, 1..=60)?;
        check_id("department", &self.department)?;
        check_ids("advisors", &self.advisors, 50)
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![
            text(&self.title),
            text(&self.description),
            integer(self.credits),
            text(&self.department),
            texts(self.advisors.clone()),
            text(fold(&self.title)),
        ]
    }

    fn dependents(&self) -> (&'static str, &[String]) {
        ("advisors", &self.advisors)
    }
}
