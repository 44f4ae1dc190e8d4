//! What a statement may be, and what may stand in it.

use super::{LintedFor, Rules, names};
use camlock_policy::migrations::SqlDialect;
use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CreateTable, CreateTableLikeKind,
    ForeignKeyConstraint, ObjectName, ObjectType, ReferentialAction, RenameTableNameKind, Statement, TableConstraint,
};

/// What is wrong with a statement; nothing, if it is in order.
pub(super) fn check(statement: &Statement, rules: &mut Rules<'_>) -> Vec<String> {
    let mut wrong = match statement {
        Statement::CreateTable(table) => create_table(table, rules),
        Statement::CreateIndex(index) => {
            let mut wrong = Vec::new();
            match &index.name {
                Some(name) => wrong.extend(rules.own(name).err()),
                None if rules.dialect == SqlDialect::Postgres => {}
                None => wrong.push("give the index a name".to_owned()),
            }
            if index.concurrently {
                wrong.push("`CONCURRENTLY` does not work in a transaction, and each migration is one".to_owned());
            }
            if index.unique {
                wrong.extend(rules.narrows("CREATE UNIQUE INDEX", &index.table_name));
            }
            wrong
        }
        Statement::CreateView(view) if view.temporary => vec![NO_TEMPORARY.to_owned()],
        Statement::CreateView(view) => {
            let made = names::plain(&view.name, rules.dialect);
            rules.made.extend(made.ok().filter(|_| !view.or_replace));
            Vec::new()
        }
        Statement::AlterTable(alter) => alter_table(alter, rules),
        Statement::Drop { object_type, names, cascade, table: None, .. } => {
            drop_all(object_type, names, *cascade, rules)
        }
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Query(_) => Vec::new(),
        other => return vec![not_allowed(&words(other))],
    };
    for message in names::mentioned(statement, rules) {
        if !wrong.contains(&message) {
            wrong.push(message);
        }
    }
    wrong
}

const NO_TEMPORARY: &str = "temporary tables and views are not allowed in a migration: they would be gone after it";

/// The sentence for a statement that is none of those.
pub(super) fn not_allowed(called: &str) -> String {
    format!(
        "`{called}` is not allowed in a migration; allowed are CREATE TABLE, CREATE INDEX, CREATE VIEW, ALTER TABLE, DROP of \
         these, SELECT, INSERT, UPDATE and DELETE"
    )
}

/// How a statement begins.
fn words(statement: &Statement) -> String {
    let text = statement.to_string();
    let capitals = |word: &&str| word.bytes().all(|byte| byte.is_ascii_uppercase());
    let words: Vec<_> = text.split_whitespace().take(3).take_while(capitals).collect();
    words.join(" ")
}

fn create_table(table: &CreateTable, rules: &mut Rules<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    if table.temporary {
        wrong.push(NO_TEMPORARY.to_owned());
    }
    let like = match &table.like {
        Some(CreateTableLikeKind::Plain(like) | CreateTableLikeKind::Parenthesized(like)) => Some(&like.name),
        None => None,
    };
    for parent in table.inherits.iter().flatten().chain(like) {
        wrong.extend(rules.own(parent).err());
    }
    for column in &table.columns {
        wrong.extend(column_keys(column, rules));
    }
    for constraint in &table.constraints {
        if let TableConstraint::ForeignKey(key) = constraint {
            wrong.extend(foreign_key(key, rules).err());
        }
    }
    if !table.if_not_exists {
        rules.made.extend(names::plain(&table.name, rules.dialect));
    }
    wrong
}

fn column_keys(column: &ColumnDef, rules: &Rules<'_>) -> Vec<String> {
    let keys = column.options.iter().filter_map(|option| match &option.option {
        ColumnOption::ForeignKey(key) => foreign_key(key, rules).err(),
        _ => None,
    });
    keys.collect()
}

/// To own tables, or to `plugins(name)` where the database can hold that.
fn foreign_key(key: &ForeignKeyConstraint, rules: &Rules<'_>) -> Result<(), String> {
    let table = names::plain(&key.foreign_table, rules.dialect)?;
    if rules.names.owns(&table) {
        return Ok(());
    }
    if table != "plugins" {
        return Err(format!(
            "a foreign key leads to a table of the plugin's own, or in PostgreSQL to `plugins(name)`; not to `{table}`"
        ));
    }
    if rules.dialect == SqlDialect::Sqlite {
        return Err(
            "on SQLite no foreign key leads to `plugins`: plugins' tables are in a file of their own; write the \
                    table for each database (`.sqlite.sql`, `.postgres.sql`), here without it"
                .to_owned(),
        );
    }
    if rules.when == LintedFor::RunTime {
        return Err(
            "at run time no foreign key leads to `plugins`: making one holds up what operators decide; make it by a \
                    migration"
                .to_owned(),
        );
    }
    let to_name = matches!(&key.referred_columns[..], [column] if names::folded(column, rules.dialect) == "name");
    if !to_name || key.on_delete != Some(ReferentialAction::Cascade) {
        return Err(
            "a foreign key to `plugins` is `REFERENCES plugins (name) ON DELETE CASCADE`, and no other: it must \
                    never keep a plugin from being removed"
                .to_owned(),
        );
    }
    match key.on_update {
        None | Some(ReferentialAction::Cascade | ReferentialAction::NoAction) => Ok(()),
        Some(_) => Err("a foreign key to `plugins` has no `ON UPDATE` but `CASCADE`".to_owned()),
    }
}

fn alter_table(alter: &AlterTable, rules: &Rules<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    for operation in &alter.operations {
        match operation {
            AlterTableOperation::AddColumn { column_def, .. } => {
                let has =
                    |what: fn(&ColumnOption) -> bool| column_def.options.iter().any(|option| what(&option.option));
                let filled = has(|option| {
                    matches!(
                        option,
                        ColumnOption::Default(_) | ColumnOption::Generated { .. } | ColumnOption::Identity(_)
                    )
                });
                if has(|option| matches!(option, ColumnOption::NotNull)) && !filled {
                    wrong.extend(rules.narrows("ADD COLUMN … NOT NULL without a default", &alter.name));
                }
                wrong.extend(column_keys(column_def, rules));
            }
            AlterTableOperation::AddConstraint { constraint, .. } => {
                if let TableConstraint::ForeignKey(key) = constraint {
                    wrong.extend(foreign_key(key, rules).err());
                }
                wrong.extend(rules.narrows("ADD CONSTRAINT", &alter.name));
            }
            AlterTableOperation::RenameTable { table_name } => {
                let (RenameTableNameKind::As(name) | RenameTableNameKind::To(name)) = table_name;
                wrong.extend(rules.own(name).err());
                wrong.extend(rules.narrows("RENAME TO", &alter.name));
            }
            AlterTableOperation::DropColumn { .. } => wrong.extend(rules.narrows("DROP COLUMN", &alter.name)),
            AlterTableOperation::RenameColumn { .. } => wrong.extend(rules.narrows("RENAME COLUMN", &alter.name)),
            AlterTableOperation::AlterColumn { op: AlterColumnOperation::SetNotNull, .. } => {
                wrong.extend(rules.narrows("SET NOT NULL", &alter.name));
            }
            AlterTableOperation::AlterColumn { op: AlterColumnOperation::SetDataType { .. }, .. } => {
                wrong.extend(rules.narrows("ALTER COLUMN … TYPE", &alter.name));
            }
            AlterTableOperation::AlterColumn { .. }
            | AlterTableOperation::DropConstraint { .. }
            | AlterTableOperation::RenameConstraint { .. }
            | AlterTableOperation::ValidateConstraint { .. } => {}
            other => wrong.push(not_allowed(&format!("ALTER TABLE … {other}"))),
        }
    }
    wrong
}

fn drop_all(kind: &ObjectType, dropped: &[ObjectName], cascade: bool, rules: &Rules<'_>) -> Vec<String> {
    if !matches!(kind, ObjectType::Table | ObjectType::View | ObjectType::MaterializedView | ObjectType::Index) {
        return vec![not_allowed(&format!("DROP {kind}"))];
    }
    let mut wrong = Vec::new();
    if cascade {
        wrong.push("name what is dropped instead of `CASCADE`".to_owned());
    }
    for name in dropped {
        match rules.own(name) {
            Ok(_) => wrong.extend(rules.narrows(&format!("DROP {kind}"), name)),
            Err(message) => wrong.push(message),
        }
    }
    wrong
}

impl Rules<'_> {
    /// What an earlier version cannot live with, outside of a file for that.
    fn narrows(&self, what: &str, table: &ObjectName) -> Option<String> {
        let made = names::plain(table, self.dialect).is_ok_and(|table| self.made.contains(&table));
        (self.when == LintedFor::Expanding && !made).then(|| {
            format!(
                "`{what}` may take away what the version before needs, which still serves while this runs and may come back: \
                 put it into a file of its own that begins with `-- camlock: contract`; that runs after the new version has \
                 been kept"
            )
        })
    }
}
