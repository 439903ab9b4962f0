//! A schedule: the answers to all random questions.

/// Answers each question with the next number of a schedule. After the last number, the answer is 0: nothing goes
/// wrong.
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
            // A fault in one schedule is also possible in a shorter one.
            Some(&number) if number > 0 && of > 1 => 1 + (number - 1) % (of - 1),
            _ => 0,
        };
        self.answers.push(Answer { answer, of });
        answer.into()
    }

    /// All answers so far.
    pub fn answers(&self) -> &[Answer] {
        &self.answers
    }
}
