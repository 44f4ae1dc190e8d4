//! The commands, each with its arguments, what it prints, and how it ends. `serve` has a module of its own.

mod acts;
mod builds;
mod catalog;
mod check;
mod completions;
mod configuration;
mod dev;
mod discover;
mod doctor;
mod emit;
mod events;
mod execute;
mod grants;
mod inspect;
mod install;
mod isolate;
mod logs;
mod migrate;
mod named;
mod new;
mod nodes;
mod package;
mod page;
mod plugins;
mod secrets;
mod stats;
mod storage;
mod subscriptions;
mod tasks;
mod tokens;
mod upgrade;
mod workshop;

pub(crate) use doctor::doctor;

use crate::{Failed, serve};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the server: build, verify, load and serve what lies in the plugins directory, and follow its changes
    #[command(
        after_help = "Each plugin answers under /api/v1/p/NAME/. The server ends in order on SIGTERM or Ctrl-C, and at \
once on a second one. It runs as the child of a small parent, which keeps its sockets: should a plugin end the server's process, another \
one takes its place, and who waits is answered. SIGHUP, or `camlock upgrade`, puts the program that is installed by then in its \
place.\n\nExamples:\n  camlock serve\n  camlock serve --plugins /srv/plugins --data /var/lib/camlock --listen 127.0.0.1:9000"
    )]
    Serve(serve::ServeOptions),
    /// Make a plugin to begin with: it builds, has a test, and is served as it is
    #[command(
        after_help = "Plain cargo and editors find the SDK by the plugin's .cargo/config.toml, which names a place in your cache \
directory. That holds on this machine alone and is not committed: after a clone, --relink writes it.\n\nExamples:\n  \
camlock new hello --in plugins\n  camlock new hello --template single-file\n  git clone … && camlock new hello --relink"
    )]
    New(new::NewArguments),
    /// See whether a plugin would be served: manifest, build, verification, what it registers and conflicts with
    #[command(
        after_help = "Nothing is changed. Exit code 1 if it would not be served.\n\nExamples:\n  camlock check plugins/hello\n  \
camlock check hello.rs --json"
    )]
    Check(check::CheckArguments),
    /// Build an artifact, to be served where there is no cargo
    #[command(
        after_help = "The SDK is this camlock's own, whatever a registry has.\n\nExamples:\n  camlock build plugins/hello\n  \
camlock build hello.rs -o /srv/plugins/hello.so"
    )]
    Build(builds::BuildArguments),
    /// Show what an artifact says of itself, and its digest, without running it
    #[command(after_help = "Example:\n  camlock inspect target/release/libhello.so --json")]
    Inspect(inspect::InspectArguments),
    /// Make a package of a plugin, to hand it out: sources, library, list of what it was built of, signed
    #[command(
        after_help = "The same sources give the same package. With --sign it is signed in minisign's format.\n\nExamples:\n  \
camlock package --new-key ~/hello.key\n  camlock package plugins/hello --sign ~/hello.key -o dist\n  \
camlock package plugins/hello --library x86.so --library arm.so"
    )]
    Package(package::PackageArguments),
    /// Follow catalogs of plugins, search them, mirror one, or keep one
    #[command(
        after_help = "Examples:\n  camlock catalog add main https://plugins.example.org\n  camlock catalog search notifications\n  \
camlock catalog publish /srv/catalog --keys ~/catalog-keys hello-1.0.0.camlock --publisher hello.key.pub"
    )]
    Catalog(catalog::CatalogOptions),
    /// Install a plugin by its name in a catalog, with what it needs: all of it, or nothing
    #[command(
        after_help = "Nothing is granted to it by that: `camlock grant` does it, or --grant.\n\nExamples:\n  camlock install kv-store\n  \
camlock install kv-store@^1.2 --dry-run\n  camlock install slack --grant asked --config-file slack.json"
    )]
    Install(install::InstallArguments),
    /// Bring what was installed by name up to date
    #[command(after_help = "Examples:\n  camlock update\n  camlock update kv-store --dry-run")]
    Update(install::UpdateArguments),
    /// List what was installed by name and is not the newest, or has something wrong with it
    #[command(after_help = "Example:\n  camlock outdated --json")]
    Outdated(install::OutdatedArguments),
    /// Look at an organisation's repositories for plugins
    #[command(
        after_help = "The server does it: `discovery.organization` names whose they are. Exit code 1 if not all of them could be looked \
at.\n\nExamples:\n  camlock discover\n  camlock discover --force --organization acme\n  camlock discover --clear-cache --json"
    )]
    Discover(discover::DiscoverOptions),
    /// Serve one plugin and build it again whenever it is saved, with its logs and compilers' messages in the terminal
    #[command(
        after_help = "Ctrl-C ends it.\n\nExamples:\n  camlock dev hello\n  camlock dev hello.rs --listen 127.0.0.1:3000"
    )]
    Dev(dev::DevArguments),
    /// List a server's plugins: the state of each, why it is so, and what to do
    #[command(after_help = "Examples:\n  camlock list\n  camlock list --status failed --json\n  \
camlock list --server http://127.0.0.1:8080 --token TOKEN")]
    List(plugins::PluginList),
    /// Show everything about a plugin: what serves, what failed and why, what was tried, what to do
    #[command(after_help = "Example:\n  camlock show hello")]
    Show(plugins::ShowPlugin),
    /// Serve a plugin
    #[command(after_help = "Example:\n  camlock enable hello")]
    Enable(acts::Enable),
    /// Serve a plugin no longer; its entry stays
    #[command(after_help = "Requests that have begun end first.\n\nExample:\n  camlock disable hello")]
    Disable(acts::Disable),
    /// Make a new generation of a plugin, also of unchanged code; without a name, look at everything again
    #[command(
        after_help = "What serves goes on until the new generation is ready, and also if it fails.\n\nExamples:\n  \
camlock reload hello\n  camlock reload"
    )]
    Reload(acts::Reload),
    /// Go back to what served before, or to an artifact that was kept
    #[command(after_help = "It holds until the source changes.\n\nExamples:\n  camlock rollback hello\n  \
camlock rollback hello --to sha256:…")]
    Rollback(acts::Rollback),
    /// Take a plugin out; its entry moves to `removed/` in the data directory
    #[command(after_help = "Example:\n  camlock remove hello")]
    Remove(acts::Remove),
    /// Show what a plugin asks to be allowed, and what of it was granted
    #[command(after_help = "Example:\n  camlock grants hello")]
    Grants(grants::GrantList),
    /// Let a plugin do what it asks for
    #[command(
        after_help = "What serves has it at once; a version that waits for it goes on by itself. What is granted is granted to \
the plugin as it came from where it did: the plugins directory, an upload, a catalog.\n\nExamples:\n  \
camlock grant hello storage database\n  camlock grant hello --all"
    )]
    Grant(grants::Grant),
    /// Let a plugin do something no longer
    #[command(
        after_help = "It takes effect at once: what asks for it is refused. The next version that asks for it waits.\n\n\
Examples:\n  camlock revoke hello database\n  camlock revoke hello --all"
    )]
    Revoke(grants::Revoke),
    /// Run a plugin in a process of its own, or in the server's
    #[command(
        after_help = "What serves goes on until the new generation is ready, and also if it fails. Without a mode, where it runs is \
shown.\n\nExamples:\n  camlock isolate hello process\n  camlock isolate hello default"
    )]
    Isolate(isolate::Isolate),
    /// Show a plugin's configuration, change it, or show what it must be like
    #[command(
        after_help = "A configuration that does not fit the plugin's schema is refused with the places that do not, and nothing \
changes. Secrets are shown as ********, which also stands for them in what you write.\n\nExamples:\n  \
camlock config hello\n  camlock config hello schema\n  camlock config hello set greeting=Hi limits.rows=100\n  \
camlock config hello set --unset greeting\n  camlock config hello set --file hello.json\n  \
camlock config hello get | jq '.rows = 3' | camlock config hello set -\n  camlock config hello edit"
    )]
    Config(configuration::ConfigOptions),
    /// Show which key seals secrets of configurations, or seal them anew with another one
    #[command(
        after_help = "Whoever has the key can read what plugins' schemas call sensitive; without it nobody can: keep a copy of it, \
and not beside the backups of the registry. Running servers go on meanwhile.\n\nExamples:\n  camlock secrets\n  \
camlock secrets --data /var/lib/camlock --json\n  camlock secrets rotate"
    )]
    Secrets(secrets::SecretsOptions),
    /// List the values that a plugin keeps, read them, put and delete them
    #[command(after_help = "Examples:\n  camlock storage hello\n  camlock storage hello list users/ --json\n  \
camlock storage hello get users/1 > user.json\n  camlock storage hello put users/1 --file user.json\n  \
camlock storage hello delete users/1")]
    Storage(storage::StorageOptions),
    /// Have a plugin work something out, and print what it came to
    #[command(
        after_help = "Exit code 1 if it did not succeed. Ctrl-C cancels it.\n\nExamples:\n  camlock execute review '{\"diff\": \"…\"}'\n  \
jq -n '{diff: $d}' --rawfile d change.diff | camlock execute review - --time 120"
    )]
    Execute(execute::ExecuteOptions),
    /// List what a plugin worked out lately: what came of it, how long it took, who asked
    #[command(after_help = "Examples:\n  camlock executions review\n  camlock executions review --status error --json")]
    Executions(execute::ExecutionList),
    /// Emit an event to whoever hears of its topic
    #[command(after_help = "Examples:\n  camlock emit session.created '{\"user\":7}'\n  \
camlock emit order.paid '{\"order\":12}' --durable")]
    Emit(emit::EmitOptions),
    /// Show who hears of events, have it stop or go on, and try anew what was given up
    #[command(after_help = "Examples:\n  camlock subscriptions\n  camlock subscriptions dead audit-log:all\n  \
camlock subscriptions replay audit-log:all\n  camlock subscriptions pause audit-log:all")]
    Subscriptions(subscriptions::SubscriptionsOptions),
    /// List tasks that plugins have done later, look at one, give it up, or have it tried again
    #[command(after_help = "Examples:\n  camlock tasks\n  camlock tasks list --plugin hello --state dead\n  \
camlock tasks show 17\n  camlock tasks retry 17")]
    Tasks(tasks::TasksOptions),
    /// Show how a plugin is used and how it does, over time and by generation, and what is wrong with it
    #[command(
        after_help = "Examples:\n  camlock stats hello\n  camlock stats hello --last week\n  camlock stats hello --last year --json"
    )]
    Stats(stats::StatsOptions),
    /// Show what happened
    #[command(
        after_help = "Examples:\n  camlock events -n 100\n  camlock events -f --plugin hello\n  camlock events -f --json"
    )]
    Events(events::EventsOptions),
    /// Show what a plugin said lately, or have it say more from now on
    #[command(after_help = "Examples:\n  camlock logs hello -f\n  camlock logs hello --level debug\n  \
camlock logs hello --level default")]
    Logs(logs::LogsOptions),
    /// List the servers of the fleet, and who serves what
    #[command(after_help = "Example:\n  camlock nodes --json")]
    Nodes(nodes::NodesOptions),
    /// Open the page, on which all this is seen and done in a browser
    #[command(
        after_help = "Prints a link that lets in whoever follows it first, within a minute, as the token that the command has.\n\n\
Examples:\n  camlock page\n  camlock page --print\n  camlock page --server http://127.0.0.1:8080 --token TOKEN"
    )]
    Page(page::PageArguments),
    /// Make, list and revoke API tokens
    #[command(subcommand)]
    Token(tokens::TokenCommand),
    /// Bring the registry's schema up to date, or copy a registry into another database
    #[command(
        after_help = "Servers bring the schema up to date when they start; this does it, or looks, without one. Make a backup \
before.\n\nWith --from and --to: plugins and what was decided about them, the journal, artifacts and tokens are copied, all or \
nothing, into a registry that is empty. The original is only read. Stop its servers before: what they decide meanwhile is not \
in the copy. Then set `database.url`, and start them.\n\nExamples:\n  camlock migrate --check\n  camlock migrate\n  \
camlock migrate --from sqlite:///var/lib/camlock/registry.db --to postgres://camlock:PASSWORD@db.example.org/camlock"
    )]
    Migrate(migrate::MigrateOptions),
    /// Put the program that is installed now in the place of the server that runs, on the same sockets
    #[command(
        after_help = "To be run on the server's machine, as its user, after the new program was put where the old one lay. The new server \
answers once what served before serves in it; then the old one ends what it began. If the new one cannot be started, the old one \
goes on, and the exit code is 1.\n\nExample:\n  camlock upgrade"
    )]
    Upgrade(upgrade::UpgradeOptions),
    /// Find out what is wrong here, and how to mend it
    #[command(
        after_help = "Takes the flags of `serve`. Exit code 1 if something is wrong; warnings alone: 0.\n\nExamples:\n  \
camlock doctor\n  camlock doctor --plugins /srv/plugins --data /var/lib/camlock --json"
    )]
    Doctor(doctor::DoctorOptions),
    /// Print a script that completes commands in a shell
    #[command(
        after_help = "Examples:\n  camlock completions bash > ~/.local/share/bash-completion/completions/camlock\n  \
camlock completions fish > ~/.config/fish/completions/camlock.fish\n  camlock completions zsh > \"${fpath[1]}/_camlock\""
    )]
    Completions(completions::CompletionsOptions),
}

impl Command {
    /// Does it.
    pub(crate) fn run(&self) -> Result<(), Failed> {
        match self {
            Command::Serve(options) => serve::run_alone(options),
            Command::New(options) => new::run(options),
            Command::Check(options) => check::run_it(options),
            Command::Build(options) => builds::run_it(options),
            Command::Inspect(options) => inspect::run(options).map_err(Failed::from),
            Command::Package(options) => package::run_it(options),
            Command::Catalog(options) => catalog::run_it(options),
            Command::Install(options) => install::install(options),
            Command::Update(options) => install::update(options),
            Command::Outdated(options) => install::outdated(options),
            Command::Discover(options) => discover::run_it(options),
            Command::Dev(options) => dev::run_it(options),
            Command::List(options) => plugins::list(options),
            Command::Show(options) => plugins::show(options),
            Command::Enable(options) => acts::enable(options),
            Command::Disable(options) => acts::disable(options),
            Command::Reload(options) => acts::reload(options),
            Command::Rollback(options) => acts::rollback(options),
            Command::Remove(options) => acts::remove(options),
            Command::Grants(options) => grants::list(options),
            Command::Grant(options) => grants::grant(options),
            Command::Revoke(options) => grants::revoke(options),
            Command::Isolate(options) => isolate::run_it(options),
            Command::Config(options) => configuration::run_it(options),
            Command::Secrets(options) => secrets::run_it(options),
            Command::Storage(options) => storage::run_it(options),
            Command::Execute(options) => execute::run_it(options),
            Command::Executions(options) => execute::list(options),
            Command::Emit(options) => emit::run_it(options),
            Command::Subscriptions(options) => subscriptions::run_it(options),
            Command::Tasks(options) => tasks::run_it(options),
            Command::Stats(options) => stats::run_it(options),
            Command::Events(options) => events::run_it(options),
            Command::Logs(options) => logs::run_it(options),
            Command::Nodes(options) => nodes::run_it(options),
            Command::Page(options) => page::run_it(options),
            Command::Token(command) => tokens::run_it(command),
            Command::Migrate(options) => migrate::run_it(options),
            Command::Upgrade(options) => upgrade::run_it(options),
            Command::Doctor(options) => doctor::run_it(options),
            Command::Completions(options) => completions::run_it(options),
        }
    }
}
