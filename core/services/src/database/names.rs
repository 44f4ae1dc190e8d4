//! The names of a plugin's tables. Pure.

/// PostgreSQL cuts off what is longer.
pub const MOST_NAME_BYTES: usize = 63;

/// What the tables of one plugin are called: `p_<plugin>__<table>`, with the plugin's hyphens as underscores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableNames {
    prefix: String,
}

/// Why something is no name for a table of a plugin: a sentence without a full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATable {
    /// It does not begin with the prefix.
    #[error("`{name}` is none of the plugin's own: names of its tables, indexes and views begin with `{prefix}`")]
    Foreign {
        /// The name.
        name: String,
        /// What it would begin with.
        prefix: String,
    },
    /// Its last part has another form.
    #[error(
        "`{0}` does not end in a table's name: that is made of small letters, digits and underscores, begins with a letter \
         and has no two underscores in a row"
    )]
    Form(String),
    /// It does not fit.
    #[error(
        "`{name}` is too long for PostgreSQL: after `{prefix}` {remaining} bytes remain for a name, it takes {taken}"
    )]
    Long {
        /// The name.
        name: String,
        /// What it begins with.
        prefix: String,
        /// So much it could take.
        remaining: usize,
        /// So much it takes.
        taken: usize,
    },
}

impl TableNames {
    /// Those of a plugin.
    pub fn of(plugin: &str) -> Self {
        TableNames { prefix: format!("p_{}__", plugin.replace('-', "_")) }
    }

    /// `p_<plugin>__`
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// So many bytes are left for what authors choose.
    pub fn remaining(&self) -> usize {
        MOST_NAME_BYTES.saturating_sub(self.prefix.len())
    }

    /// Whether this may be the name of something that the plugin makes.
    ///
    /// A plugin's name has no two hyphens in a row, and what authors choose no two underscores: so they tell whose a table is.
    pub fn check(&self, name: &str) -> Result<(), NotATable> {
        let Some(own) = name.strip_prefix(&self.prefix) else {
            return Err(NotATable::Foreign { name: name.to_owned(), prefix: self.prefix.clone() });
        };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = own.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || !own.bytes().all(plain) || own.contains("__") {
            return Err(NotATable::Form(name.to_owned()));
        }
        if own.len() > self.remaining() {
            let (prefix, remaining) = (self.prefix.clone(), self.remaining());
            return Err(NotATable::Long { name: name.to_owned(), prefix, remaining, taken: own.len() });
        }
        Ok(())
    }

    /// The same, as yes or no.
    pub fn owns(&self, name: &str) -> bool {
        self.check(name).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_table_is() {
        let names = TableNames::of("my-shop");
        assert_eq!(names.prefix(), "p_my_shop__");
        assert_eq!(names.check("p_my_shop__orders_2"), Ok(()));
        for foreign in ["orders", "plugins", "p_my__orders", "P_MY_SHOP__ORDERS", "p_my_shop_orders", "xp_my_shop__o"] {
            assert!(matches!(names.check(foreign), Err(NotATable::Foreign { .. })), "{foreign}");
        }
        for odd in ["p_my_shop__", "p_my_shop___o", "p_my_shop__a__b", "p_my_shop__O", "p_my_shop__ö", "p_my_shop__1"]
        {
            assert!(matches!(names.check(odd), Err(NotATable::Form(_))), "{odd}");
        }
        // Another plugin's, whose name begins alike.
        assert!(TableNames::of("a-b").owns("p_a_b__t") && !TableNames::of("a").owns("p_a_b__t"));
    }

    #[test]
    fn what_does_not_fit_says_how_much_would() {
        let names = TableNames::of("a-plugin-with-a-name-that-is-as-long-as-names-may-be");
        let told = names.check("p_a_plugin_with_a_name_that_is_as_long_as_names_may_be__orders_of_today").unwrap_err();
        assert_eq!(
            told.to_string(),
            "`p_a_plugin_with_a_name_that_is_as_long_as_names_may_be__orders_of_today` is too long for PostgreSQL: after \
             `p_a_plugin_with_a_name_that_is_as_long_as_names_may_be__` 7 bytes remain for a name, it takes 15"
        );
        assert_eq!(names.remaining(), 7);
        assert!(names.owns("p_a_plugin_with_a_name_that_is_as_long_as_names_may_be__orders1"));
    }
}
