// The plugins that the server of these tests has. What must not live here: what is done with them.
import { HOSTILE } from './corpus.mjs';

const rust = (text) => `"${text.replace(/[\\"]/g, '\\$&').replace(/[^ -~]/g, (one) => `\\u{${one.codePointAt(0).toString(16)}}`)}"`;

export const hello = (word) => `---
[package]
version = "0.1.0"
description = "Says ${word}"
---
use camlock_plugin::prelude::*;
struct Hello;
impl Plugin for Hello {
    async fn create(_host: Host) -> Result<Self> { Ok(Hello) }
    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/hello", get(|| async { "${word}" }))
    }
}
export!(Hello);
`;

export const broken = hello('nothing').replace('"nothing" }', `{ let _: u8 = ${rust(HOSTILE[0])}; "x" } }`);

/** Says all that is hostile, keeps it, and answers with it. */
export function greeter(site) {
  site.write('plugins/greeter/Cargo.toml', `[workspace]
[package]
name = "greeter"
description = ${JSON.stringify(HOSTILE[1])}
version = "0.1.0"
edition = "2024"
[package.metadata.camlock]
config = "config.schema.json"
permissions = ["storage", "network:api.example.com", "tasks", "schedule", "events:subscribe:greeter.*"]
task_types = [{ type = "tidy", attempts = 1 }]
schedules = [{ name = "nightly", cron = "30 3 * * *", zone = "Europe/Berlin" }]
subscriptions = [{ pattern = "greeter.*", name = "heard", durable = true }]
[lib]
crate-type = ["cdylib"]
[dependencies]
camlock-plugin = "1"
tracing = "0.1"
`);
  site.write('plugins/greeter/config.schema.json', JSON.stringify({
    type: 'object', additionalProperties: false,
    properties: {
      greeting: { type: 'string', minLength: 1, default: 'Hello!', description: HOSTILE[0] }, rows: { type: 'integer', minimum: 1, maximum: 10, title: 'Rows' },
      key: { type: 'string', sensitive: true, title: 'Key' }, loud: { type: 'boolean' }, tone: { enum: ['low', 'high'] }, names: { type: 'array', items: { type: 'string' } },
    },
  }));
  site.write('plugins/greeter/src/lib.rs', `use camlock_plugin::{Due, Event, Execution, Task, Value, axum::http::HeaderMap, json, prelude::*};
struct Greeter;
const HOSTILE: &[&str] = &[${HOSTILE.map(rust).join(', ')}];
impl Plugin for Greeter {
    async fn create(host: Host) -> Result<Self> {
        for (number, text) in HOSTILE.iter().enumerate() {
            tracing::warn!("{text}");
            let _ = host.storage().put(&format!("key/{number}"), text.as_bytes().to_vec()).send().await;
        }
        Ok(Greeter)
    }
    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/hostile", get(|| async { as_html() })).route("/cookies", get(|headers: HeaderMap| async move { format!("{headers:?}") }))
    }
    async fn event(&self, event: Event) -> Result<()> {
        if &*event.topic == "greeter.bad" { Err(Error::msg(HOSTILE.join(" "))) } else { Ok(()) }
    }
    async fn task(&self, task: Task) -> Result<Value> {
        let input: Value = task.input()?;
        if input["fails"] == true { return Err(Error::msg(HOSTILE.join(" "))); }
        Ok(json!({ "tidied": HOSTILE }))
    }
    async fn schedule(&self, _due: Due) -> Result<()> { Ok(()) }
    async fn execute(&self, execution: Execution) -> Result<Value> {
        let input: Value = execution.input()?;
        if input["fails"] == true { Err(Error::msg(HOSTILE.join(" "))) } else { Ok(json!({ "told": HOSTILE, "input": input })) }
    }
}
fn as_html() -> ([(&'static str, &'static str); 1], String) { ([("content-type", "text/html")], HOSTILE.join("\\n")) }
export!(Greeter);
`);
}
