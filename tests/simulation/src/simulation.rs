//! What can be simulated.

use std::fmt::{self, Display, Formatter};

use crate::search::Finding;
use crate::world::Violation;
use crate::{accounts, archive, idempotency, notifications};

/// What each promises is in docs/simulation.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Simulation {
    Archive,
    Accounts,
    Notifications,
    Idempotency,
}

impl Simulation {
    pub const ALL: [Self; 4] = [Self::Archive, Self::Accounts, Self::Notifications, Self::Idempotency];

    /// How many schedules of it are drawn from one seed, of 100 in all.
    pub fn share(self) -> u32 {
        match self {
            Self::Archive => 55,
            _ => 15,
        }
    }

    pub async fn run(self) -> Result<(), Violation> {
        match self {
            Self::Archive => archive::simulate().await,
            Self::Accounts => accounts::simulate().await,
            Self::Notifications => notifications::simulate().await,
            Self::Idempotency => idempotency::simulate().await,
        }
    }
}

impl Display for Finding {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { simulation, violation, schedule, log, .. } = self;
        writeln!(formatter, "{simulation:?}: {violation}")?;
        writeln!(formatter, "The shortest schedule that shows it has {} numbers: {schedule:?}", schedule.len())?;
        log.iter().try_for_each(|line| writeln!(formatter, "{line}"))
    }
}
