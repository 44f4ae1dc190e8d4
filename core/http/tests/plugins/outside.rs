//! A plugin crate that lives outside the repository and depends only on camlock-plugin.

use crate::harness::{Host, run};
use camlock_testing::{Outside, repository, trial};
use futures_util::{SinkExt, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Full};
use std::fs;
use tokio_tungstenite::tungstenite::Message;

/// The crate, with the path to camlock-plugin filled in.
fn outside() -> Outside {
    let template = repository().join("core/loader/fixtures/outside");
    let read = |file: &str| fs::read_to_string(template.join(file)).expect("a file of the crate");
    let plugin_api = repository().join("plugin-api");
    let manifest = read("Cargo.toml.in").replace("@PLUGIN_API@", plugin_api.to_str().expect("a plain path"));
    let files = ["src/lib.rs", "src/grpc.rs"];
    let with_manifest = Outside::new("outside").with_file("Cargo.toml", manifest);
    files.into_iter().fold(with_manifest, |crate_, file| crate_.with_file(file, read(file)))
}

#[trial]
fn a_crate_of_somebody_else() {
    let library = outside().library();
    run(async {
        let host = Host::new();
        let served = host.serve(&library).await;
        let manifest = &served.instance.description().manifest;
        assert_eq!((&*manifest.version, &manifest.camlock.routes[..]), ("0.3.0", &["/outside/*".to_owned()][..]));

        assert_eq!(served.text("/events").await, "data: 0\n\ndata: 1\n\ndata: 2\n\n");

        let url = served.url("/socket").replace("http://", "ws://");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a WebSocket");
        socket.send(Message::text("camlock")).await.expect("it is sent");
        assert_eq!(socket.next().await.expect("an answer").expect("a message"), Message::text("kcolmac"));
        drop(socket);

        let mut gigabyte = served.open(Request::get("/gigabyte").body(Full::<bytes::Bytes>::default()).unwrap()).await;
        let mut total = 0;
        while let Some(frame) = gigabyte.body_mut().frame().await {
            total += frame.expect("a frame").into_data().expect("data").len();
        }
        assert_eq!(total, 1 << 30);

        let request = Request::post(served.url("/camlock.plugins.outside.v1.Squares/Square"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 2, 8, 9])))
            .unwrap();
        let answer = served.http2().await.send_request(request).await.expect("an answer");
        let collected = answer.into_body().collect().await.expect("a body");
        assert_eq!(collected.trailers().expect("trailers")["grpc-status"], "0");
        assert_eq!(&collected.to_bytes()[..], [0, 0, 0, 0, 2, 8, 81]);
        served.unload_wholly().await;
    });
}
