//! The names in a statement: which it mentions, and whether they are the plugin's own.

use super::Rules;
use camlock_policy::migrations::SqlDialect;
use sqlparser::ast::{Ident, ObjectName, Query, SetExpr, Statement, TableFactor, Visit, Visitor};
use std::{collections::BTreeSet, ops::ControlFlow};

/// A name as the database understands it: PostgreSQL makes what is not quoted small, SQLite takes it as it is.
pub(super) fn folded(ident: &Ident, dialect: SqlDialect) -> String {
    match (dialect, ident.quote_style) {
        (SqlDialect::Postgres, None) => ident.value.to_lowercase(),
        _ => ident.value.clone(),
    }
}

/// The one part of a name, or a sentence.
pub(super) fn plain(name: &ObjectName, dialect: SqlDialect) -> Result<String, String> {
    let mut parts = name.0.iter();
    match (parts.next().and_then(|part| part.as_ident()), parts.next()) {
        (Some(ident), None) => Ok(folded(ident, dialect)),
        _ => {
            Err(format!("write `{name}` without what stands before its last point: tables are found without a schema"))
        }
    }
}

impl Rules<'_> {
    /// A name that must be the plugin's own.
    pub(super) fn own(&self, name: &ObjectName) -> Result<String, String> {
        let name = plain(name, self.dialect)?;
        self.names.check(&name).map_err(|error| error.to_string())?;
        Ok(name)
    }
}

/// Checks all tables that are mentioned anywhere in a statement.
pub(super) fn mentioned(statement: &Statement, rules: &Rules<'_>) -> Vec<String> {
    let mut found = Mentioned::default();
    let _ = statement.visit(&mut found);
    let mut wrong = found.wrong;
    for name in found.relations {
        let word = plain(&name, rules.dialect);
        let made_here = word.as_ref().is_ok_and(|word| found.with.contains(word) || found.functions.contains(word));
        if let (false, Err(message)) = (made_here, rules.own(&name)) {
            wrong.push(message);
        }
    }
    for function in found.functions {
        if ["pg_", "pragma_", "lo_", "dblink"].iter().any(|prefix| function.starts_with(prefix)) {
            wrong.push(format!("the function `{function}` is not allowed in a migration"));
        }
    }
    wrong
}

#[derive(Default)]
struct Mentioned {
    relations: Vec<ObjectName>,
    /// Tables that are functions, and other functions.
    functions: BTreeSet<String>,
    /// What `WITH` names.
    with: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Mentioned {
    fn function(&mut self, name: &ObjectName) {
        if let Some(last) = name.0.last().and_then(|part| part.as_ident()) {
            self.functions.insert(last.value.to_lowercase());
        }
    }
}

impl Visitor for Mentioned {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for table in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.with.extend([table.alias.name.value.clone(), table.alias.name.value.to_lowercase()]);
        }
        if matches!(*query.body, SetExpr::Table(_)) {
            self.wrong.push("write `SELECT * FROM …` for `TABLE …`".to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } = factor {
            self.function(name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        self.relations.push(relation.clone());
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &sqlparser::ast::Expr) -> ControlFlow<()> {
        if let sqlparser::ast::Expr::Function(function) = expr {
            self.function(&function.name);
        }
        ControlFlow::Continue(())
    }
}
