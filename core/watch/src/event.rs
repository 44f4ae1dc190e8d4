//! What an event of notify means for us. What must not live here: whom it concerns.

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, MetadataKind, ModifyKind},
};

/// What may have happened at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that matters: somebody read or opened it.
    Nothing,
    /// Other bytes.
    Content,
    /// Its permissions, owner or times: what could not be read may be readable now.
    Attributes,
    /// Something came, went or moved there: what it is now is to be seen.
    Place,
    /// Events were lost.
    Lost,
}

/// What the event says about all its paths.
pub(crate) fn change(event: &Event) -> Change {
    if event.need_rescan() {
        return Change::Lost;
    }
    match event.kind {
        // A file that is written through a mapping, as linkers do, tells of nothing else.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Change::Content,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => Change::Nothing,
        EventKind::Modify(ModifyKind::Data(_)) => Change::Content,
        EventKind::Modify(ModifyKind::Metadata(_)) => Change::Attributes,
        // What we do not know is taken for the worst.
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            Change::Place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{CreateKind, DataChange, Flag, RemoveKind, RenameMode};

    #[test]
    fn kinds() {
        let table = [
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), Change::Nothing),
            (EventKind::Access(AccessKind::Read), Change::Nothing),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), Change::Nothing),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), Change::Content),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), Change::Content),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)), Change::Nothing),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), Change::Attributes),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), Change::Place),
            (EventKind::Modify(ModifyKind::Any), Change::Place),
            (EventKind::Create(CreateKind::File), Change::Place),
            (EventKind::Remove(RemoveKind::Folder), Change::Place),
            (EventKind::Any, Change::Place),
        ];
        for (kind, expected) in table {
            assert_eq!(change(&Event::new(kind)), expected, "{kind:?}");
            assert_eq!(change(&Event::new(kind).set_flag(Flag::Rescan)), Change::Lost);
        }
    }
}
