//! What is asked of a server: which catalogs it follows, and what they list.

use crate::{
    Failed,
    client::{Client, Reach, encoded, read, read_all, run},
    print::{self, Paint, Table, Tone},
};
use camlock_api::{CatalogPluginView, CatalogView, ListedPluginView};
use clap::{Args, ValueEnum};
use http::Method;
use serde_json::{Value, json};

#[derive(Args)]
pub(super) struct AddCatalog {
    /// What it is called here
    name: String,
    /// Where it is: https://…, or file:///… on the server's machine; or discovered:ORGANIZATION, what the server discovers
    url: String,
    /// What the sha-256 of its first root must be
    #[arg(long, value_name = "DIGEST")]
    root_sha256: Option<String>,
    /// Where two catalogs have a name, the one with the higher number has it
    #[arg(long, default_value_t = 0, allow_hyphen_values = true)]
    priority: i32,
    /// A name that it may provide, or a beginning with * behind; may be said several times [default: all]
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// A key whose packages are taken; may be said several times [default: anybody's, and then the same for ever]
    #[arg(long, value_name = "KEY")]
    publisher: Vec<String>,
    /// A repository of GitHub, and a workflow in it, that must have attested what is taken; may be said several times [default: none has to]
    #[arg(long, value_name = "OWNER/REPOSITORY[:WORKFLOW.yml]")]
    attested_by: Vec<String>,
    /// Of this plugin take only versions that are named so, with these digests of their packages; may be said several times [default: all]
    #[arg(long, value_name = "NAME@VERSION=SHA256")]
    pin: Vec<String>,
    /// Take packages that nobody signed
    #[arg(long)]
    unsigned: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args)]
pub(super) struct SearchCatalogs {
    /// Words
    text: Vec<String>,
    /// Only of this category
    #[arg(long)]
    category: Option<String>,
    /// Only with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only by this author
    #[arg(long)]
    author: Option<String>,
    /// Only what there is for this server
    #[arg(long)]
    available: bool,
    /// In what order
    #[arg(long, default_value = "relevance")]
    sort: SortWord,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Clone, Copy, ValueEnum)]
enum SortWord {
    Relevance,
    Name,
    Rating,
    Downloads,
    CreatedAt,
}

impl SortWord {
    fn word(self) -> &'static str {
        match self {
            SortWord::Relevance => "relevance",
            SortWord::Name => "name",
            SortWord::Rating => "rating",
            SortWord::Downloads => "downloads",
            SortWord::CreatedAt => "created_at",
        }
    }
}

pub(super) fn add(options: &AddCatalog) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let body = json!({
        "name": options.name, "url": options.url, "root_sha256": options.root_sha256, "priority": options.priority,
        "names": options.only, "publishers": options.publisher, "attested_by": options.attested_by,
        "pins": options.pin, "unsigned": options.unsigned,
    });
    let added = run(async { Ok(client.ask(Method::POST, "/api/v1/catalogs", Some(&body)).await?) })?;
    if options.json {
        print::json(&added);
        return Ok(());
    }
    let catalog: CatalogView = read(&added)?;
    let signed = if catalog.unsigned { "; it may hold what nobody signed" } else { "" };
    let root = match &*catalog.root_sha256 {
        "" => "a list that nobody signed".to_owned(),
        root => format!("root sha256 {root}{signed}"),
    };
    let listed = print::counted(catalog.listed as usize, "plugin");
    print::line(format_args!("{} is followed: {listed}, {root}", catalog.name));
    Ok(())
}

pub(super) fn list(as_data: bool, reach: &Reach) -> Result<(), Failed> {
    let client = Client::new(reach)?;
    let items = run(async { Ok(client.list("/api/v1/catalogs").await?) })?;
    if as_data {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let catalogs: Vec<CatalogView> = read_all(&items)?;
    if catalogs.is_empty() {
        print::line("no catalog is followed: `camlock catalog add NAME URL`");
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "PLUGINS", "VERSION", "PRIORITY", "URL"]);
    for catalog in &catalogs {
        table.row([
            (&catalog.name, Tone::Strong),
            (&catalog.listed.to_string(), Tone::Plain),
            (&catalog.version.to_string(), Tone::Plain),
            (&catalog.priority.to_string(), Tone::Plain),
            (&print::plain(&catalog.url), Tone::Plain),
        ]);
        if catalog.root_sha256.is_empty() {
            table.note("nobody signed this list, nor what it names");
        } else if catalog.unsigned {
            table.note("it may hold packages that nobody signed");
        }
        if !catalog.attested_by.is_empty() {
            table.note(&format!("what is taken has to be attested by {}", catalog.attested_by.join(", ")));
        }
        if !catalog.pins.is_empty() {
            table.note(&format!("pinned: {}", catalog.pins.join(", ")));
        }
        if let Some(trouble) = &catalog.trouble {
            table.note(trouble);
        }
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

pub(super) fn sync(name: Option<&str>, reach: &Reach) -> Result<(), Failed> {
    let client = Client::new(reach)?;
    run(async {
        let names = match name {
            Some(name) => vec![name.to_owned()],
            None => {
                let items = client.list("/api/v1/catalogs").await?;
                items.iter().filter_map(|item| Some(item["name"].as_str()?.to_owned())).collect()
            }
        };
        for name in names {
            let path = format!("/api/v1/catalogs/{}/sync", encoded(&name));
            let catalog: CatalogView = read(&client.ask(Method::POST, &path, None).await?)?;
            let listed = print::counted(catalog.listed as usize, "plugin");
            print::line(format_args!("{name} is at version {}: {listed}", catalog.version));
        }
        Ok(())
    })
}

pub(super) fn search(options: &SearchCatalogs) -> Result<(), Failed> {
    let client = Client::new(&options.reach)?;
    let text = Some(options.text.join(" ")).filter(|text| !text.is_empty());
    let filters = [
        ("search", text.as_deref()),
        ("category", options.category.as_deref()),
        ("tag", options.tag.as_deref()),
        ("author", options.author.as_deref()),
        ("available_here", options.available.then_some("true")),
        ("sort", Some(options.sort.word())),
    ];
    let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query: String = filters.map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
    let items = run(async { Ok(client.list(&format!("/api/v1/marketplace/plugins?limit=500{query}")).await?) })?;
    if options.json {
        print::json(&json!({ "items": items, "next": null }));
        return Ok(());
    }
    let plugins: Vec<ListedPluginView> = read_all(&items)?;
    if plugins.is_empty() {
        print::line("nothing like that is listed; `camlock catalog list` shows which catalogs are followed");
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "VERSION", "INSTALLED", "CATALOG", "DESCRIPTION"]);
    for plugin in &plugins {
        table.row([
            (&plugin.name, Tone::Strong),
            (&plugin.version, Tone::Plain),
            (plugin.installed.as_deref().unwrap_or(""), Tone::Plain),
            (&plugin.catalog, Tone::Plain),
            (&print::plain(&plugin.description), Tone::Plain),
        ]);
        if !plugin.available_here {
            table.note("there is none for this server");
        }
    }
    print::line(table.text(Paint::stdout()));
    Ok(())
}

pub(super) fn show(name: &str, as_data: bool, reach: &Reach) -> Result<(), Failed> {
    let client = Client::new(reach)?;
    let path = format!("/api/v1/marketplace/plugins/{}", encoded(name));
    let shown: Value = run(async { Ok(client.get(&path).await?) })?;
    if as_data {
        print::json(&shown);
        return Ok(());
    }
    let plugin: CatalogPluginView = read(&shown)?;
    let line = |name: &str, value: &str| {
        if !value.is_empty() {
            print::line(format_args!("{name:10} {}", print::plain(value)));
        }
    };
    line("plugin", &plugin.listed.name);
    line("about", &plugin.listed.description);
    line("catalog", &plugin.listed.catalog);
    line("publisher", plugin.publisher.as_deref().unwrap_or("nobody signed it"));
    line("license", &plugin.listed.license);
    line("repository", &plugin.repository);
    line("installed", plugin.listed.installed.as_deref().unwrap_or_default());
    let mut table = Table::new(&["VERSION", "PUBLISHED", "ASKS FOR"]);
    for version in &plugin.versions {
        let asks = if version.permissions.is_empty() { "nothing".to_owned() } else { version.permissions.join(", ") };
        table.row([
            (&version.version, Tone::Strong),
            (&print::plain(&version.published_at), Tone::Plain),
            (&print::plain(&asks), Tone::Plain),
        ]);
        if !version.dependencies.is_empty() {
            table.note(&format!("needs {}", version.dependencies.join(", ")));
        }
        if let Some(why) = &version.yanked {
            table.note(&format!("taken back: {why}"));
        }
        if let Some(why) = &version.unfit {
            table.note(&format!("does not fit here: {why}"));
        }
    }
    print::line(table.text(Paint::stdout()));
    for advisory in &plugin.advisories {
        line(&advisory.id, &super::super::install::advised(advisory));
    }
    Ok(())
}

pub(super) fn remove(name: &str, reach: &Reach) -> Result<(), Failed> {
    let client = Client::new(reach)?;
    run(async { Ok(client.ask(Method::DELETE, &format!("/api/v1/catalogs/{}", encoded(name)), None).await?) })?;
    print::line(format_args!("{name} is followed no longer; what was installed from it stays"));
    Ok(())
}
