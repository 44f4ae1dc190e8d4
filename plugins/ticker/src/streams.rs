//! The two ways to get ticks: a WebSocket, and server-sent events.

use crate::{
    clock::Seconds,
    ticks::{Asked, Ticks},
};
use axum::{
    extract::{
        Query, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code},
    },
    response::{
        Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream::{self, Stream};

/// Server-sent events. Where ticks are rare a comment now and then keeps proxies from hanging up.
pub async fn events(
    Query(asked): Query<Asked>,
    State(seconds): State<Seconds>,
) -> Sse<impl Stream<Item = Result<Event, axum::Error>>> {
    let events = stream::unfold(Ticks::new(&asked, seconds), async |mut ticks| {
        let tick = ticks.next().await?;
        let event = Event::default().event("tick").id(tick.number.to_string()).json_data(tick);
        Some((event, ticks))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// A WebSocket.
pub async fn socket(upgrade: WebSocketUpgrade, Query(asked): Query<Asked>, State(seconds): State<Seconds>) -> Response {
    upgrade.on_upgrade(async move |socket| talk(socket, Ticks::new(&asked, seconds)).await)
}

async fn talk(mut socket: WebSocket, mut ticks: Ticks) {
    loop {
        tokio::select! {
            tick = ticks.next() => {
                let Some(text) = tick.and_then(|tick| serde_json::to_string(&tick).ok()) else { break };
                if socket.send(Message::text(text)).await.is_err() {
                    return;
                }
            }
            // What a client says is read, so that its end is noticed; pings are answered on the way.
            message = socket.recv() => match message {
                Some(Ok(_)) => {}
                _ => return,
            }
        }
    }
    // The clock has stopped: the plugin goes, and perhaps another build of it is there already.
    let frame = CloseFrame { code: close_code::RESTART, reason: "the plugin is being replaced".into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}
