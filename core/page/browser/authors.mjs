// Authors and a keeper: plugins that are packaged, signed and published into a catalog on this machine. What must not live here: what is
// done with them.
import { join } from 'node:path';
import { HOSTILE } from './corpus.mjs';

/** A catalog in the site's folder, and its author's key. */
export class Keeper {
  constructor(site) {
    this.site = site;
    site.cli('package', '--new-key', 'author.key');
    site.cli('catalog', 'init', 'catalog', '--keys', 'keys');
    this.url = `file://${join(site.root, 'catalog')}`;
  }

  /** A crate, packaged: the path of its package. */
  package(name, { version, says, description = 'Greets whoever comes', readme = `# ${name}\n`, keys = '', schema = null, signed = true }) {
    const folder = `authors/${name}`;
    this.site.write(`${folder}/Cargo.toml`, `[workspace]
[package]
name = "${name}"
version = "${version}"
edition = "2024"
description = ${JSON.stringify(description)}
license = "MIT"
keywords = ["greeting"]
authors = [${JSON.stringify(`<b>${name}</b>`)}]
repository = "https://example.org/${name}"
[package.metadata.camlock]
${schema ? 'config = "config.schema.json"\n' : ''}${keys}
[lib]
crate-type = ["cdylib"]
[dependencies]
camlock-plugin = "1"
`);
    if (schema) this.site.write(`${folder}/config.schema.json`, JSON.stringify(schema));
    this.site.write(`${folder}/README.md`, readme);
    this.site.write(`${folder}/src/lib.rs`, `use camlock_plugin::{Value, prelude::*};
struct Greeter(String);
impl Plugin for Greeter {
    async fn create(host: Host) -> Result<Self> {
        let config: Value = host.config()?;
        Ok(Greeter(format!("${says} {}", config["greeting"].as_str().unwrap_or("hello"))))
    }
    fn routes(self: Arc<Self>) -> impl Into<Routes> {
        Router::new().route("/", get(move || async move { self.0.clone() }))
    }
}
export!(Greeter);
`);
    const sign = signed ? ['--sign', 'author.key'] : [];
    return JSON.parse(this.site.cli('package', folder, ...sign, '--profile', 'quick', '-o', 'dist', '--json')).file;
  }

  publish(...more) {
    return this.site.cli('catalog', 'publish', 'catalog', '--keys', 'keys', ...more);
  }
}

export const readme = `# A greeter

It greets, and *nothing* else. See [its pages](https://example.org/greeter).

## What it says

* \`hello\`, unless it is configured
* ${HOSTILE.join('\n* ')}

\`\`\`
${HOSTILE.join('\n')}
\`\`\`

<details><summary onclick="ran()">${HOSTILE[1]}</summary></details>
![${HOSTILE[0]}](https://evil.example/pixel.png)
`;
