use serde::{Deserialize, Serialize};
use tokio_postgres::Row;

use crate::database::{Parameter, text};
use crate::error::ApiError;
use crate::resource::{Input, Resource};
use crate::text::{check_text, fold};

/// All departments: there are too few for pages.
pub(crate) const LIST: &str = "SELECT id, name FROM departments ORDER BY folded_name, id";

#[derive(Debug, Serialize)]
pub(crate) struct Department {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DepartmentInput {
    id: Option<String>,
    name: String,
}

impl Resource for Department {
    type Input = DepartmentInput;

    const SINGULAR: &str = "department";
    const PLURAL: &str = "departments";
    const AFFECTED: &[&str] = &["advisors", "courses"];

    const SELECT: &str = "SELECT id, name FROM departments WHERE id = $1";
    const LOCK: &str = "SELECT FROM departments WHERE id = $1 FOR UPDATE";
    const INSERT: &str = "INSERT INTO departments (id, name, folded_name) VALUES ($1, $2, $3)";
    const UPDATE: &str = "UPDATE departments SET name = $2, folded_name = $3 WHERE id = $1";
    const DELETE: &str = "DELETE FROM departments WHERE id = $1";
    const DEPENDENTS: &str = "
        SELECT 'advisors' AS plural, advisor AS id FROM advises WHERE department = $1
        UNION ALL SELECT 'courses', id FROM courses WHERE department = $1";

    const UNIQUE: &[(&str, &str, &str)] = &[
        ("departments_pkey", "ID_TAKEN", "A department has this id."),
        ("departments_name_key", "NAME_TAKEN", "A department has this name."),
    ];
    const REFERENCES: &[(&str, &str)] = &[];

    fn from_row(row: &Row) -> Self {
        Self { id: row.get("id"), name: row.get("name") }
    }
}

impl Input for DepartmentInput {
    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn check(&self) -> Result<(), ApiError> {
        check_text("name", &self.name, 100)
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![text(&self.name), text(fold(&self.name))]
    }

    fn dependents(&self) -> (&'static str, &[String]) {
        ("advisors", &[])
    }
}
