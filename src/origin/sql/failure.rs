//! Why a read of a server failed, and whether it is worth trying at once again.

use std::time::Duration;

use sqlx::mysql::MySqlDatabaseError;

use crate::origin::OriginError;

/// How often a read is tried that the server gave up for the sake of others, as long as none of it was handed out.
pub(super) const TRIES_MAX: u32 = 3;
/// The longest pause before the second try; before the third it is twice as long.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// An error of a try.
#[derive(Debug)]
pub(super) struct SqlFailure {
    pub error: OriginError,
    /// A serialisation failure, a conflict with recovery, a deadlock: the next try may well succeed.
    pub passing: bool,
    /// The server's SQLSTATE, where it is the server that said no.
    pub state: Option<Box<str>>,
    /// A kept statement was described otherwise than the tables are now.
    pub outdated: bool,
}

/// The tries of one read.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Those that a conflict ended.
    conflicts: u32,
    /// Whether nothing that was kept is believed any more.
    pub afresh: bool,
}

impl SqlFailure {
    /// Whether the SQLSTATE begins so.
    pub(super) fn is(&self, state: &str) -> bool {
        self.state.as_deref().is_some_and(|found| found.starts_with(state))
    }

    /// By the class of the SQLSTATE: errors of a statement or its rights, time-outs, and the rest, which is
    /// the server's state.
    pub(super) fn of_postgres(error: sqlx::Error) -> Self {
        let state = match &error {
            sqlx::Error::Database(said) => said.code().map(|code| Box::from(&*code)),
            _ => None,
        };
        let code: &str = state.as_deref().unwrap_or_default();
        // `57014`: the statement's time-out.
        let late = matches!(error, sqlx::Error::PoolTimedOut) || code == "57014";
        // A conflict with recovery, on a standby, is a serialisation failure too.
        let passing = matches!(code, "40001" | "40P01");
        let misdeclared =
            matches!(code.get(..2), Some("0A" | "21" | "22" | "25" | "2F" | "42" | "P0")) && code != "25P03";
        let error = match error {
            _ if late => OriginError::TimedOut,
            sqlx::Error::Database(said) if misdeclared => OriginError::Misdeclared(said.message().to_owned()),
            other => OriginError::Unavailable(Box::new(other)),
        };
        Self {
            passing,
            state,
            ..error.into()
        }
    }

    /// Errors of a statement or its rights, time-outs, and the rest, which is the server's state.
    pub(super) fn of_mysql(error: sqlx::Error) -> Self {
        let (number, state) = match &error {
            sqlx::Error::Database(said) => match said.try_downcast_ref::<MySqlDatabaseError>() {
                Some(said) => (said.number(), said.code().map(Box::from)),
                None => (0, None),
            },
            _ => (0, None),
        };
        let class: Option<&str> = state.as_deref().and_then(|state: &str| state.get(..2));
        // The statement's time-out of MySQL and of MariaDB, and a killed statement.
        let late = matches!(error, sqlx::Error::PoolTimedOut) || matches!(number, 3024 | 1969 | 1317);
        // A deadlock, a lock that was waited for too long, a row that is not as the snapshot has it.
        let passing = matches!(number, 1213 | 1205 | 1020);
        // `1267` and `1271`: a mix of collations that cannot be compared.
        let misdeclared =
            matches!(class, Some("0A" | "21" | "22" | "25" | "42" | "45")) || matches!(number, 1267 | 1271);
        // `1461`: others keep as many statements as the server allows.
        let misdeclared = misdeclared && number != 1461;
        let error = match error {
            _ if late => OriginError::TimedOut,
            sqlx::Error::Database(said) if misdeclared && !passing => {
                OriginError::Misdeclared(said.message().to_owned())
            }
            other => OriginError::Unavailable(Box::new(other)),
        };
        Self {
            passing,
            state,
            ..error.into()
        }
    }

    /// A statement was kept whose columns are others now.
    pub(super) fn outdated() -> Self {
        Self {
            outdated: true,
            ..OriginError::Unavailable("the columns of its tables change while they are read".into()).into()
        }
    }

    /// The failure of a statement that was, or was not, described long before: then the description may be the reason.
    pub(super) fn with_description(mut self, kept: bool) -> Self {
        let refused = self.state.is_some() || matches!(self.error, OriginError::Misdeclared(_));
        let outdated = refused && !self.passing && !matches!(self.error, OriginError::TimedOut);
        self.outdated |= kept && outdated;
        self
    }
}

impl Tries {
    /// Whether there is another try after one that failed, of which nothing was handed out; waits until it may begin.
    pub(super) async fn again_after(&mut self, failure: &SqlFailure) -> bool {
        if failure.outdated && !self.afresh {
            self.afresh = true;
            return true;
        }
        self.conflicts += 1;
        if !failure.passing || self.conflicts >= TRIES_MAX {
            return false;
        }
        // Those who were in each other's way should not meet again.
        tokio::time::sleep((PAUSE_MAX * self.conflicts).mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        true
    }
}

impl From<OriginError> for SqlFailure {
    fn from(error: OriginError) -> Self {
        Self {
            error,
            passing: false,
            state: None,
            outdated: false,
        }
    }
}
