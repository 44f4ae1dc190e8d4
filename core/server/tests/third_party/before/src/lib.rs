//! A notice board for a small team: todos with a live feed, a chat, and uploads.

mod chat;
mod todos;
mod uploads;

use axum::{Router, extract::FromRef};
use tower_http::trace::TraceLayer;

#[derive(Clone, Default)]
struct AppState {
    todos: todos::Todos,
    chat: chat::Chat,
}

impl FromRef<AppState> for todos::Todos {
    fn from_ref(state: &AppState) -> Self {
        state.todos.clone()
    }
}

impl FromRef<AppState> for chat::Chat {
    fn from_ref(state: &AppState) -> Self {
        state.chat.clone()
    }
}

/// The whole application.
pub fn app() -> Router {
    Router::new()
        .merge(todos::routes())
        .merge(chat::routes())
        .merge(uploads::routes())
        .layer(TraceLayer::new_for_http())
        .with_state(AppState::default())
}
