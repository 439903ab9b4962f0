//! Example data of a believable size, the same each time.

use directory::fold;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use crate::handler::MigrateError;

const ADVISORS: usize = 200;
const COURSES: usize = 2_000;

const DEPARTMENTS: &[(&str, &str)] = &[
    ("archaeology", "Archaeology"),
    ("architecture", "Architecture"),
    ("biology", "Biology"),
    ("chemistry", "Chemistry"),
    ("civil-engineering", "Civil Engineering"),
    ("classics", "Classics"),
    ("computer-science", "Computer Science"),
    ("earth-sciences", "Earth Sciences"),
    ("economics", "Economics"),
    ("education", "Education"),
    ("electrical-engineering", "Electrical Engineering"),
    ("english", "English"),
    ("history", "History"),
    ("law", "Law"),
    ("linguistics", "Linguistics"),
    ("mathematics", "Mathematics"),
    ("mechanical-engineering", "Mechanical Engineering"),
    ("medicine", "Medicine"),
    ("music", "Music"),
    ("philosophy", "Philosophy"),
    ("physics", "Physics"),
    ("politics", "Politics"),
    ("psychology", "Psychology"),
    ("sociology", "Sociology"),
    ("statistics", "Statistics"),
];

const GIVEN_NAMES: &[&str] = &[
    "Ada",
    "Agnès",
    "Amélie",
    "Anders",
    "Barbara",
    "Björn",
    "Carlos",
    "Chidi",
    "Daniela",
    "Dmitri",
    "Elif",
    "Emmy",
    "Fatima",
    "François",
    "Grace",
    "Hiroshi",
    "Ingrid",
    "Jean",
    "José",
    "Katherine",
    "Léa",
    "Lise",
    "Łukasz",
    "Maryam",
    "Mei",
    "Nikola",
    "Niels",
    "Olga",
    "Priya",
    "Rosalind",
    "Søren",
    "Sofia",
    "Tariq",
    "Thandiwe",
    "Ülle",
    "Vera",
    "Wangari",
    "Yuki",
    "Zoë",
    "Zuzana",
];

const FAMILY_NAMES: &[&str] = &[
    "Andersson",
    "Bauer",
    "Castro",
    "Dubois",
    "Eriksen",
    "Ferreira",
    "García",
    "Hopper",
    "Ivanova",
    "Jansen",
    "Kowalski",
    "Lovelace",
    "Müller",
    "Nakamura",
    "Okafor",
    "Petrov",
    "Quinn",
    "Rossi",
    "Šimek",
    "Tanaka",
    "Ünal",
    "Varga",
    "Weiß",
    "Xu",
    "Yılmaz",
    "Ziegler",
    "Ångström",
    "Østergaard",
];

const LEVELS: &[&str] = &["Introduction to", "Foundations of", "Intermediate", "Advanced", "Seminar in"];

const SUBJECTS: &[&str] = &[
    "Analysis",
    "Argument",
    "Change",
    "Data",
    "Design",
    "Ethics",
    "Experiment",
    "Form",
    "History",
    "Institutions",
    "Interpretation",
    "Measurement",
    "Methods",
    "Models",
    "Networks",
    "Practice",
    "Systems",
    "Theory",
];

/// Fills an empty directory, in one transaction.
pub async fn insert(client: &mut Client) -> Result<(), MigrateError> {
    let transaction = client.transaction().await?;
    // Waits for writers, and makes new ones wait, so that it stays empty.
    transaction.batch_execute("LOCK TABLE departments, advisors, courses").await?;
    if !transaction.query_typed("SELECT FROM departments LIMIT 1", &[]).await?.is_empty() {
        return Err(MigrateError::NotEmpty);
    }
    for (statement, columns) in [departments(), advisors(), advises(), courses(), teaches()] {
        let parameters: Vec<_> = columns.iter().map(Column::parameter).collect();
        transaction.query_typed(statement, &parameters).await?;
    }
    transaction.commit().await?;
    Ok(())
}

enum Column {
    Texts(Vec<String>),
    Numbers(Vec<i32>),
}

impl Column {
    fn parameter(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Texts(texts) => (texts, Type::TEXT_ARRAY),
            Self::Numbers(numbers) => (numbers, Type::INT4_ARRAY),
        }
    }
}

fn texts<T: Into<String>>(texts: impl Iterator<Item = T>) -> Column {
    Column::Texts(texts.map(Into::into).collect())
}

fn departments() -> (&'static str, Vec<Column>) {
    let (ids, names) = (DEPARTMENTS.iter().map(|(id, _)| *id), DEPARTMENTS.iter().map(|(_, name)| *name));
    let columns = vec![texts(ids), texts(names.clone()), texts(names.map(fold))];
    ("INSERT INTO departments (id, name, folded_name) SELECT * FROM unnest($1, $2, $3)", columns)
}

/// Given and family name. No two advisors have the same: the addresses and ids made of them are unique.
fn name(advisor: usize) -> (&'static str, &'static str) {
    let round = advisor / GIVEN_NAMES.len();
    (GIVEN_NAMES[advisor % GIVEN_NAMES.len()], FAMILY_NAMES[(advisor * 5 + round) % FAMILY_NAMES.len()])
}

fn advisor_id(advisor: usize) -> String {
    let (given, family) = name(advisor);
    fold(&format!("{given}-{family}"))
}

fn advisors() -> (&'static str, Vec<Column>) {
    let all = 0..ADVISORS;
    let columns = vec![
        texts(all.clone().map(advisor_id)),
        texts(all.clone().map(|advisor| name(advisor).0)),
        texts(all.clone().map(|advisor| name(advisor).1)),
        texts(all.clone().map(|advisor| format!("{}@school.example", advisor_id(advisor)))),
        texts(all.clone().map(|advisor| format!("Building {}, room {}", 1 + advisor % 9, 100 + advisor))),
        texts(all.map(|advisor| fold(&format!("{} {}", name(advisor).1, name(advisor).0)))),
    ];
    let statement = "INSERT INTO advisors (id, given_name, family_name, email, office, folded_name)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6)";
    (statement, columns)
}

/// Each advisor advises one department; every third advises the next one, too.
fn advises() -> (&'static str, Vec<Column>) {
    let pairs = (0..ADVISORS).flat_map(|advisor| {
        let departments = if advisor % 3 == 0 { 2 } else { 1 };
        (0..departments).map(move |next| (advisor, (advisor + next) % DEPARTMENTS.len()))
    });
    let columns = vec![
        texts(pairs.clone().map(|(advisor, _)| advisor_id(advisor))),
        texts(pairs.map(|(_, department)| DEPARTMENTS[department].0)),
    ];
    ("INSERT INTO advises (advisor, department) SELECT * FROM unnest($1, $2)", columns)
}

/// A course's department, and its number within it, from which the rest follows.
fn place(course: usize) -> (usize, usize) {
    (course % DEPARTMENTS.len(), course / DEPARTMENTS.len())
}

fn course_id(course: usize) -> String {
    let (department, number) = place(course);
    format!("{}-{}", DEPARTMENTS[department].0, 101 + number)
}

fn title(course: usize) -> String {
    let (department, number) = place(course);
    let (level, subject) = (LEVELS[number % LEVELS.len()], SUBJECTS[number / LEVELS.len() % SUBJECTS.len()]);
    format!("{level} {}: {subject}", DEPARTMENTS[department].1)
}

fn courses() -> (&'static str, Vec<Column>) {
    let all = 0..COURSES;
    let columns = vec![
        texts(all.clone().map(course_id)),
        texts(all.clone().map(title)),
        texts(all.clone().map(|course| {
            let (department, number) = place(course);
            let subject = SUBJECTS[number / LEVELS.len() % SUBJECTS.len()].to_lowercase();
            format!(
                "Students learn how {subject} is used in {}. There are two lectures and an exercise each week, and a \
                 written examination at the end of the term.",
                DEPARTMENTS[department].1.to_lowercase()
            )
        })),
        Column::Numbers(all.clone().map(|course| [3, 5, 6, 10][course / DEPARTMENTS.len() % 4]).collect()),
        texts(all.clone().map(|course| DEPARTMENTS[place(course).0].0)),
        texts(all.map(|course| fold(&title(course)))),
    ];
    let statement = "INSERT INTO courses (id, title, description, credits, department, folded_title)
        SELECT * FROM unnest($1, $2, $3, $4, $5, $6)";
    (statement, columns)
}

/// The advisors of a course are of its department; every fourth course has two.
fn teaches() -> (&'static str, Vec<Column>) {
    let advisors_of_department = ADVISORS / DEPARTMENTS.len();
    let pairs = (0..COURSES).flat_map(move |course| {
        let (department, number) = place(course);
        let teachers = if number % 4 == 0 { 2 } else { 1 };
        (0..teachers)
            .map(move |next| (course, department + DEPARTMENTS.len() * ((number + next) % advisors_of_department)))
    });
    let columns = vec![
        texts(pairs.clone().map(|(course, _)| course_id(course))),
        texts(pairs.map(|(_, advisor)| advisor_id(advisor))),
    ];
    ("INSERT INTO teaches (course, advisor) SELECT * FROM unnest($1, $2)", columns)
}
