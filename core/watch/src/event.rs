//! What an event of notify means for us. What must not live here: whom it concerns.

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, MetadataKind, ModifyKind},
};

/// What may have happened at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventChange {
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
pub(crate) fn change(event: &Event) -> EventChange {
    if event.need_rescan() {
        return EventChange::Lost;
    }
    match event.kind {
        // A file that is written through a mapping, as linkers do, tells of nothing else.
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => EventChange::Content,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)) => {
            EventChange::Nothing
        }
        EventKind::Modify(ModifyKind::Data(_)) => EventChange::Content,
        EventKind::Modify(ModifyKind::Metadata(_)) => EventChange::Attributes,
        // What we do not know is taken for the worst.
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => {
            EventChange::Place
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
            (EventKind::Access(AccessKind::Open(AccessMode::Any)), EventChange::Nothing),
            (EventKind::Access(AccessKind::Read), EventChange::Nothing),
            (EventKind::Access(AccessKind::Close(AccessMode::Read)), EventChange::Nothing),
            (EventKind::Access(AccessKind::Close(AccessMode::Write)), EventChange::Content),
            (EventKind::Modify(ModifyKind::Data(DataChange::Any)), EventChange::Content),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::AccessTime)), EventChange::Nothing),
            (EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)), EventChange::Attributes),
            (EventKind::Modify(ModifyKind::Name(RenameMode::To)), EventChange::Place),
            (EventKind::Modify(ModifyKind::Any), EventChange::Place),
            (EventKind::Create(CreateKind::File), EventChange::Place),
            (EventKind::Remove(RemoveKind::Folder), EventChange::Place),
            (EventKind::Any, EventChange::Place),
        ];
        for (kind, expected) in table {
            assert_eq!(change(&Event::new(kind)), expected, "{kind:?}");
            assert_eq!(change(&Event::new(kind).set_flag(Flag::Rescan)), EventChange::Lost);
        }
    }
}
