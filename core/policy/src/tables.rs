//! What comes of it that plugins' own tables are brought to what a version needs. What must not live here: SQL.

use crate::{EMIT, Failure};
use camlock_api::GrantsView;
use std::collections::BTreeSet;

/// On what terms the tables of a version are made ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableTerms {
    /// That something was taken away which this version needs is no reason against it.
    pub back: bool,
    /// No other version needs these tables, or may come back: what takes away need not wait.
    pub alone: bool,
    /// What the plugin may by SQL of its own.
    pub rights: SqlRights,
}

/// What a plugin may by SQL of its own, beside using its tables: databases that check it themselves are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlRights {
    /// Enqueue tasks.
    pub tasks: bool,
    /// Emit events whose topics one of these patterns matches.
    pub emits: BTreeSet<String>,
}

impl SqlRights {
    /// Those of a plugin that asks for this and was granted it. Whoever may not reach tables may nothing.
    pub fn of(grants: &GrantsView) -> Self {
        let granted = || grants.asked.iter().filter(|asked| asked.granted).map(|asked| asked.permission.as_str());
        if !granted().any(|permission| permission == "database") {
            return SqlRights::default();
        }
        SqlRights {
            tasks: granted().any(|permission| permission == "tasks"),
            emits: granted().filter_map(|permission| permission.strip_prefix(EMIT)).map(str::to_owned).collect(),
        }
    }
}

/// A version may start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TablesReady {
    /// What has run for that just now: names of files.
    pub ran: Vec<String>,
    /// Whether something is to be taken away once the version has shown that it stays.
    pub contracts: bool,
}

/// A version may not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TablesNotReady {
    /// Not yet: a sentence says for what it waits.
    Waits(String),
    /// It cannot be had as it is.
    Failed {
        /// Why.
        failure: Failure,
        /// What has run before that, and stays: names of files.
        ran: Vec<String>,
    },
}

impl TablesNotReady {
    /// It cannot be had, and nothing has run.
    pub fn failed(failure: Failure) -> Self {
        TablesNotReady::Failed { failure, ran: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camlock_api::PermissionView;

    #[test]
    fn rights_are_what_is_asked_for_and_granted() {
        let asked = |permissions: &[(&str, bool)]| GrantsView {
            asked: permissions
                .iter()
                .map(|(permission, granted)| PermissionView {
                    permission: (*permission).to_owned(),
                    meaning: String::new(),
                    granted: *granted,
                })
                .collect(),
            ..GrantsView::default()
        };
        let some = [
            ("database", true),
            ("tasks", false),
            ("events:emit:plugin.shop.*", true),
            ("events:emit:plugin.shop.a.b", false),
            ("events:subscribe:x", true),
        ];
        let rights = SqlRights { tasks: false, emits: ["plugin.shop.*".to_owned()].into() };
        assert_eq!(SqlRights::of(&asked(&some)), rights);
        assert_eq!(SqlRights::of(&asked(&some[1..])), SqlRights::default(), "without `database`");
        assert!(SqlRights::of(&asked(&[("database", true), ("tasks", true)])).tasks);
    }
}
