//! The application as a Camlock plugin.

use camlock_plugin::prelude::*;

struct NoticeBoard;

impl Plugin for NoticeBoard {
    async fn create(_host: Host) -> Result<Self> {
        Ok(NoticeBoard)
    }

    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        crate::app()
    }
}

export!(NoticeBoard);
