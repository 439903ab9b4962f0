//! Writes a page from the answers below a folder on this machine: `… --example report_page -- FOLDER > report.html`.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use chrono::Utc;
use render_report::answers::{self, Answer};
use render_report::page::{self, Answers};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("name the folder that has report/, check/ and compact/")?;
    let answers = Answers { report: read(&folder)?, check: read(&folder)?, compact: read(&folder)? };
    print!("{}", page::render(&answers, &folder, Utc::now()).into_string());
    Ok(())
}

fn read<A: Answer>(folder: &str) -> Result<A, Box<dyn Error>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(Path::new(folder).join(A::JOB))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            texts.push(fs::read_to_string(path)?);
        }
    }
    Ok(answers::parse(&texts)?)
}
