//! What a plugin asks of its host: an ask that does nothing, from the plugin through the contract, the directory of services and
//! its limits, and back; and a look at the configuration, which is cached. Measured inside the plugin, in runs that alternate.

use crate::common::{
    host::{Host, end},
    pin,
    report::{Better, Row, finish},
};
use camlock_loader::Surroundings;
use camlock_policy::{Answer, AskError, Asker, Body, Call};
use camlock_services::{AskLimits, HostServices, ServiceSet};
use camlock_testing::Fixtures;
use http::{Request, Response};
use std::{process::ExitCode, sync::Arc};

const RUNS: usize = 60;
const ASKS: u32 = 20_000;
const LOOKS: u32 = 1_000_000;

pub fn run() -> ExitCode {
    let library = Fixtures::release().library("asking");
    pin(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (asks, looks) = runtime.block_on(async {
        let mut services = ServiceSet::default();
        services.add("nothing/1", nothing).expect("a name");
        // What is measured is not how much a plugin may ask.
        let limits = AskLimits { asks: u64::MAX, bytes: u64::MAX };
        let services = Arc::new(HostServices::new(services, limits));
        let mut host = Host::new();
        let around = Surroundings { services: Some(services), ..Surroundings::default() };
        host.loader = host.loader.with_surroundings(around);
        let artifact = host.verified(&library).await;
        let loaded = host.loader.load(&artifact, (1, "{}")).await.expect("it can be loaded");
        let measure = async |what: &str, count: u32| -> f64 {
            let request = Request::get(format!("/measure/{what}/{count}")).body(Body::empty()).expect("a request");
            let Answer { response, .. } = loaded.instance.call(Call::new(request)).await.expect("an answer");
            let text = response.into_body().into_whole().expect("a text");
            String::from_utf8_lossy(&text).parse().expect("a number")
        };
        let (mut asks, mut looks) = (Vec::new(), Vec::new());
        for _ in 0..RUNS + 5 {
            asks.push(measure("ask", ASKS).await / 1e3);
            looks.push(measure("config", LOOKS).await);
        }
        end(loaded).await;
        (asks.split_off(5), looks.split_off(5))
    });
    let rows = [
        Row::median("an ask that does nothing, there and back", "µs", Better::Lower, &asks).must(1.0, 0.3),
        Row::median("a look at the configuration", "ns", Better::Lower, &looks).must(50.0, 10.0),
    ];
    finish("ask", &rows)
}

async fn nothing(_: Asker, _: Request<Body>) -> Result<Response<Body>, AskError> {
    Ok(Response::new(Body::empty()))
}
