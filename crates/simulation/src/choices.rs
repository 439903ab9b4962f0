//! A schedule: the answers to all questions that chance decides.

/// Answers questions with the numbers of a schedule, one after the other, and with 0, nothing goes wrong, after the last.
#[derive(Debug, Default)]
pub struct Choices {
    schedule: Vec<u8>,
    answers: Vec<Answer>,
}

/// One of `of` possible answers.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub answer: u8,
    pub of: u8,
}

impl Choices {
    pub fn new(schedule: Vec<u8>) -> Self {
        Self { schedule, answers: Vec::new() }
    }

    /// A number below `of`.
    pub fn choose(&mut self, of: usize) -> usize {
        let of = u8::try_from(of).expect("a question has few answers");
        let answer = match self.schedule.get(self.answers.len()) {
            // What goes wrong in one schedule goes wrong in a shorter one, too, whatever it is.
            Some(&number) if number > 0 && of > 1 => 1 + (number - 1) % (of - 1),
            _ => 0,
        };
        self.answers.push(Answer { answer, of });
        answer.into()
    }

    /// What was answered.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }
}
