//! Trouble with catalogs, as operators are told of it.

use camlock_catalog::{CatalogTrouble, TroubleSort};
use camlock_policy::{CatalogRefusal, CatalogRefused, registry::Unavailable};

pub(super) fn refused(trouble: CatalogTrouble) -> CatalogRefusal {
    let kind = match trouble.sort {
        TroubleSort::Unfit | TroubleSort::Denied => CatalogRefused::Denied,
        TroubleSort::Missing => CatalogRefused::Missing,
        TroubleSort::Conflict => CatalogRefused::Conflict,
        TroubleSort::Unavailable => CatalogRefused::Unavailable,
    };
    CatalogRefusal { kind, reason: trouble.reason }
}

pub(super) fn unavailable(why: Unavailable) -> CatalogRefusal {
    CatalogRefusal { kind: CatalogRefused::Unavailable, reason: format!("the registry: {}", why.0) }
}
