//! A chat: what one says, all hear.

use crate::AppState;
use axum::{
    Router,
    extract::{
        Path, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::broadcast;

#[derive(Clone)]
pub struct Chat(broadcast::Sender<Utf8Bytes>);

impl Default for Chat {
    fn default() -> Self {
        Chat(broadcast::channel(64).0)
    }
}

pub fn routes() -> Router<AppState> {
    Router::new().route("/chat/{name}", any(join))
}

async fn join(upgrade: WebSocketUpgrade, Path(name): Path<String>, State(chat): State<Chat>) -> Response {
    upgrade.on_upgrade(move |socket| talk(socket, name, chat))
}

async fn talk(socket: WebSocket, name: String, chat: Chat) {
    let (mut to_client, mut from_client) = socket.split();
    let mut heard = chat.0.subscribe();
    let _ = chat.0.send(format!("{name} joined").into());

    let mut listening = tokio::spawn(async move {
        while let Ok(text) = heard.recv().await {
            if to_client.send(Message::Text(text)).await.is_err() {
                break;
            }
        }
    });
    let said = chat.0.clone();
    let speaker = name.clone();
    let mut speaking = tokio::spawn(async move {
        while let Some(Ok(Message::Text(text))) = from_client.next().await {
            let _ = said.send(format!("{speaker}: {text}").into());
        }
    });
    tokio::select! {
        _ = &mut listening => speaking.abort(),
        _ = &mut speaking => listening.abort(),
    }
    let _ = chat.0.send(format!("{name} left").into());
    tracing::info!(name, "left the chat");
}
